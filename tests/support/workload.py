"""Keeps a guest busy in ways that show whether its state is right.

`run` starts three processes: one writes files, one commits rows to a SQLite database, one holds a growing structure
in memory. Each tells on tmpfs what it has done for certain, or what went wrong.
`check FILES ROWS` reads everything back and compares it with what had been told.
"""

import hashlib
import os
import random
import sqlite3
import sys
import time
import traceback

ROOT = "/var/lib/workload"
FILES = ROOT + "/files"
DATABASE = ROOT + "/rows.db"
# Files are written over in turns.
SLOTS = 200
KEYS = 500
PAUSE = 0.05


def tell(name, text):
    with open("/dev/shm/.workload." + name, "w") as f:
        f.write(text + "\n")
    os.rename("/dev/shm/.workload." + name, "/dev/shm/workload." + name)


def digest(number):
    return hashlib.sha256(b"%d" % number).digest()


def content(number):
    return b"%d\n" % number + digest(number) * (number % 500 + 1)


def write_files():
    number = 0
    while True:
        number += 1
        path = "%s/%d" % (FILES, number % SLOTS)
        with open(path + ".new", "wb") as f:
            f.write(content(number))
            f.flush()
            os.fsync(f.fileno())
        os.rename(path + ".new", path)
        tell("files", str(number))
        time.sleep(PAUSE)


def commit_rows():
    database = sqlite3.connect(DATABASE, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, digest TEXT UNIQUE)")
    database.execute("CREATE TABLE keys (key INTEGER PRIMARY KEY, number INTEGER, filling BLOB)")
    number = 0
    while True:
        number += 1
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO log VALUES (?, ?)", (number, digest(number).hex()))
        key = random.randrange(KEYS)
        if number % 7 == 0:
            database.execute("DELETE FROM keys WHERE key = ?", (key,))
        else:
            filling = os.urandom(random.randrange(2000))
            database.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", (key, number, filling))
        database.execute("COMMIT")
        tell("rows", str(number))
        time.sleep(PAUSE)


def hold_memory():
    ballast = os.urandom(4 << 20)
    known = hashlib.md5(ballast).digest()
    chain = [digest(0)]
    while True:
        for _ in range(20):
            chain.append(hashlib.sha256(chain[-1]).digest() + bytes(992))
            time.sleep(PAUSE)
        for before, after in zip(chain, chain[1:]):
            if after != hashlib.sha256(before).digest() + bytes(992):
                raise Exception("a link of the chain in memory is wrong")
        if hashlib.md5(ballast).digest() != known:
            raise Exception("bytes in memory have changed")
        tell("links", str(len(chain)))


def run():
    os.makedirs(FILES)
    for work in write_files, commit_rows, hold_memory:
        if os.fork() == 0:
            try:
                work()
            except BaseException:
                tell("broken", traceback.format_exc())
                raise
    os.wait()


def check(files, rows):
    for slot in range(SLOTS):
        last = files - (files - slot) % SLOTS
        if last <= 0:
            continue
        with open("%s/%d" % (FILES, slot), "rb") as f:
            data = f.read()
        number = int(data.split(b"\n", 1)[0])
        assert data == content(number), "file %d has a wrong content" % number
        assert number >= last and number % SLOTS == slot, "file %d was told, %d is there" % (last, number)

    database = sqlite3.connect(DATABASE)
    broken = database.execute("PRAGMA integrity_check").fetchall()
    assert broken == [("ok",)], broken
    number = 0
    for row in database.execute("SELECT number, digest FROM log ORDER BY number"):
        number += 1
        assert row == (number, digest(number).hex()), "row %d is %r" % (number, row)
    assert number >= rows, "row %d was told, the last is %d" % (rows, number)


if sys.argv[1] == "run":
    run()
else:
    check(int(sys.argv[2]), int(sys.argv[3]))

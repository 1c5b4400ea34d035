"""Keeps a guest busy in ways that show whether its state is right.

Three processes work: one writes files, one commits rows to a SQLite database, one holds a structure in memory. Each
tells on tmpfs what it has done for certain, or what went wrong. A fourth listens on a port for what was told, reads
everything back, and answers `right` and the hashes of the files that it was asked for, or what is wrong: a program
that were started for that would take longer than the check.
"""

import collections
import hashlib
import os
import random
import socket
import sqlite3
import time
import traceback

ROOT = "/var/lib/workload"
FILES = ROOT + "/files"
DATABASE = ROOT + "/rows.db"
# Files are written over in turns.
SLOTS = 100
KEYS = 500
# Links that are held, and how many are made between two looks at all of them.
LINKS = 200
TURN = 5
PAUSE = 0.1
PORT = 7411


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
    ballast = os.urandom(1 << 20)
    known = hashlib.md5(ballast).digest()
    chain = collections.deque([digest(0)], LINKS)
    number = 0
    while True:
        for _ in range(TURN):
            number += 1
            chain.append(hashlib.sha256(chain[-1]).digest() + bytes(992))
            time.sleep(PAUSE)
        links = list(chain)
        for before, after in zip(links, links[1:]):
            if after != hashlib.sha256(before).digest() + bytes(992):
                raise Exception("a link of the chain in memory is wrong")
        if hashlib.md5(ballast).digest() != known:
            raise Exception("bytes in memory have changed")
        tell("links", str(number))


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
    try:
        broken = database.execute("PRAGMA integrity_check").fetchall()
        assert broken == [("ok",)], broken
        number = 0
        for row in database.execute("SELECT number, digest FROM log ORDER BY number"):
            number += 1
            assert row == (number, digest(number).hex()), "row %d is %r" % (number, row)
        assert number >= rows, "row %d was told, the last is %d" % (rows, number)
    finally:
        database.close()


def answer(question):
    """The first line holds what was told, the others paths."""
    told, *paths = question.decode().splitlines()
    os.sync()
    # What is read now is on the disk.
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")
    check(*map(int, told.split()))
    lines = ["right"]
    for path in paths:
        with open(path, "rb") as f:
            lines.append(hashlib.file_digest(f, "md5").hexdigest())
    return "\n".join(lines)


def listen(listener):
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as question:
            try:
                text = answer(question.read(int(question.readline())))
            except Exception:
                text = traceback.format_exc()
            connection.sendall(text.encode())


os.makedirs(FILES)
listener = socket.create_server(("127.0.0.1", PORT))
for work in write_files, commit_rows, hold_memory:
    if os.fork() == 0:
        try:
            work()
        except BaseException:
            tell("broken", traceback.format_exc())
            raise
listen(listener)

"""Runs a program in a terminal of its own and plays a script of steps, one JSON array per line of standard input:

["expect", regex, seconds], ["send", text], ["resize", columns, rows], ["signal", number], ["end", seconds]

Prints what the terminal showed, and exits with the code of the program; 99 when a step did not come true.
"""

import fcntl, json, os, pty, re, select, signal, struct, sys, termios, time


def resize(columns, rows):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


shown = b""
seen = 0
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
resize(80, 24)


def read(deadline):
    global shown
    ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        return False
    try:
        data = os.read(master, 65536)
    except OSError:
        return False
    shown += data
    return len(data) > 0


def finish(code):
    sys.stdout.buffer.write(shown)
    sys.stdout.flush()
    if code == 99:
        os.kill(pid, signal.SIGKILL)
    sys.exit(code)


for line in sys.stdin:
    step, *args = json.loads(line)
    if step == "send":
        os.write(master, args[0].encode())
    elif step == "resize":
        resize(*args)
    elif step == "signal":
        os.kill(pid, args[0])
    elif step == "raw":
        raw = not termios.tcgetattr(master)[3] & termios.ICANON
        if raw != args[0]:
            finish(99)
    elif step == "expect":
        deadline = time.monotonic() + args[1]
        while True:
            found = re.compile(args[0].encode(), re.S).search(shown, seen)
            if found:
                seen = found.end()
                break
            if not read(deadline):
                sys.stderr.write("not seen: %s\n" % args[0])
                finish(99)

deadline = time.monotonic() + 60
while read(deadline):
    pass
_, status = os.waitpid(pid, 0)
finish(os.waitstatus_to_exitcode(status) & 0xFF)

"""Round trips of commands with the Python client, one for each line of JSON on stdin.

A line is ``[form, command, expected output]`` with ``async`` or ``sync`` as the form; what comes back is the time in
milliseconds, as the client's caller sees it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import opencomputer
import opencomputer.sync


def main(sandbox_id: str) -> None:
    """Answers line by line until there are no more."""
    loop = asyncio.new_event_loop()
    sandbox = loop.run_until_complete(opencomputer.Sandbox.connect(sandbox_id))
    blocking = opencomputer.sync.Sandbox.connect(sandbox_id)

    async def measured(command: str) -> tuple[float, opencomputer.ProcessResult]:
        started = time.perf_counter()
        result = await sandbox.exec.run(command)
        return time.perf_counter() - started, result

    for line in sys.stdin:
        form, command, expected = json.loads(line)
        if form == "async":
            seconds, result = loop.run_until_complete(measured(command))
        else:
            started = time.perf_counter()
            result = blocking.exec.run(command)
            seconds = time.perf_counter() - started
        if result.exit_code != 0 or result.stdout != expected:
            raise RuntimeError(f"{command} ended as {result}")
        print(seconds * 1000, flush=True)
    loop.run_until_complete(sandbox.close())
    blocking.close()


if __name__ == "__main__":
    main(sys.argv[1])

"""A session with a real bash behind it."""

from __future__ import annotations

import subprocess
import threading
from typing import IO, TYPE_CHECKING

from .session_server import TestSession

if TYPE_CHECKING:
    from typing_extensions import Self


class BashSession(TestSession):
    def __init__(self) -> None:
        super().__init__()
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "+m"],
            cwd="/tmp",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self._threads = [
            threading.Thread(target=self._pump, args=[stream, number])
            for number, stream in ((1, self._bash.stdout), (2, self._bash.stderr))
        ]
        self._end = threading.Thread(target=self._wait)
        for thread in [*self._threads, self._end]:
            thread.start()

    def taken(self, data: bytes) -> None:
        assert self._bash.stdin is not None
        try:
            self._bash.stdin.write(data)
        except BrokenPipeError:
            return

    def _pump(self, stream: IO[bytes], number: int) -> None:
        while data := stream.read(65536):
            self.print(data, number)

    def _wait(self) -> None:
        code = self._bash.wait()
        for thread in self._threads:
            thread.join()
        self.exit(code if code >= 0 else 128 - code)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bash.kill()
        self._end.join()
        for stream in (self._bash.stdin, self._bash.stdout, self._bash.stderr):
            assert stream is not None
            stream.close()

"""One command in a shell."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import TYPE_CHECKING

from .connection.notify import notify
from .marked_output import MarkedOutput
from .run import ProcessResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection.frames import OutputStream
    from .exec_session import OnData

# More than any exit code and its line end need.
_longest_trailer = 32


class ShellRun:
    """A command, which has ended when the shell has printed a marker with a random token to each stream.

    The two streams are not ordered, so both markers must come.
    """

    def __init__(self, on_stdout: OnData | None, on_stderr: OnData | None, on_corrupt: Callable[[str], None]) -> None:
        """``on_corrupt``: the output of the shell is invalid, so that nothing more can be read from it."""
        self._token = secrets.token_hex(16)
        self._callbacks = {"stdout": on_stdout, "stderr": on_stderr}
        self._on_corrupt = on_corrupt
        self._stdout = MarkedOutput(f"\n__OC_{self._token}_DONE__\n")
        self._stderr = MarkedOutput(f"\n__OC_{self._token}_EXIT_")
        self._gap = False
        self.result: asyncio.Future[ProcessResult] = asyncio.get_running_loop().create_future()
        # A caller that stopped waiting does not look at it any more.
        self.result.add_done_callback(lambda future: future.cancelled() or future.exception())

    def input(self, command: str) -> str:
        """The input of the shell for this command."""
        body = command if command.strip() else ":"
        done = f"printf '\\n__OC_{self._token}_DONE__\\n'"
        end = f"printf '\\n__OC_{self._token}_EXIT_%s__\\n' \"$__oc_ec\" >&2"
        return f"{{ {body}\n}} ; __oc_ec=$? ; {done} ; {end}\n"

    async def push(self, stream: OutputStream, data: bytes) -> None:
        """Takes output of the shell."""
        output = (self._stdout if stream == "stdout" else self._stderr).push(data)
        if output:
            await notify(self._callbacks[stream], output)
        self._finish_if_both()

    def gap(self) -> None:
        """Output is missing."""
        self._gap = True

    def silence(self) -> None:
        """Its output is not needed any more."""
        self._callbacks = {"stdout": None, "stderr": None}

    def fail(self, error: Exception) -> None:
        """It will not end by itself."""
        if not self.result.done():
            self.result.set_exception(error)

    def _finish_if_both(self) -> None:
        trailer = self._stderr.after
        if self._stdout.after is None or trailer is None or self.result.done():
            return
        text = trailer[:_longest_trailer].decode("utf-8", "replace")
        code = re.match(r"(-?\d{1,10})__\n", text)
        if code is None:
            # The rest may come with the next piece.
            if re.fullmatch(r"-?\d*(_|__)?", text) is None or len(text) >= _longest_trailer:
                self._on_corrupt(f"corrupt sentinel: {text!r}")
            return
        self.result.set_result(
            ProcessResult(
                exit_code=int(code[1]),
                stdout=self._stdout.text(),
                stderr=self._stderr.text(),
                truncated=self._gap or self._stdout.truncated or self._stderr.truncated,
            )
        )

"""A bash that keeps its directory, variables and functions from one command to the next."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from . import check
from .connection.notify import keep_running
from .errors import LimitError, OpenComputerError, ShellBusyError, ShellClosedError, TimeoutError
from .exec_session import ExecSession, SessionCallbacks
from .shell_run import ShellRun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .connection.frames import OutputStream
    from .exec_session import OnData
    from .run import ProcessResult


class Shell:
    """A bash that keeps its directory, variables and functions from one ``run`` to the next.

    Get one with ``exec.shell``. It runs one command at a time. A command that calls ``exit`` closes it, and so
    does one whose syntax is wrong.

    Example:
        ```python
        shell = await sandbox.exec.shell()
        await shell.run("cd /tmp && export NAME=value")
        result = await shell.run("echo $NAME in $PWD")
        await shell.close()
        ```
    """

    def __init__(self) -> None:
        """Internal: use ``exec.shell`` or ``exec.reattach_shell``."""
        self._session: ExecSession
        self._run: ShellRun | None = None
        self._closed: str | None = None
        # Earlier output belongs to earlier commands.
        self._live = False

    async def _open(self, start: Callable[[SessionCallbacks], Awaitable[ExecSession]]) -> Shell:
        callbacks = SessionCallbacks(
            on_stdout=lambda data: self._push("stdout", data),
            on_stderr=lambda data: self._push("stderr", data),
            on_gap=self._gap,
            on_scrollback_end=self._go_live,
        )
        self._session = await start(callbacks)
        keep_running(self._watch())
        return self

    @property
    def session_id(self) -> str:
        """For ``exec.reattach_shell``, also from another process."""
        return self._session.session_id

    async def run(
        self,
        command: str,
        on_stdout: OnData | None = None,
        on_stderr: OnData | None = None,
        *,
        wait_timeout: float | None = None,
    ) -> ProcessResult:
        """Runs a command in this shell and waits for its end. Of each stream the newest 8 MiB are kept.

        Args:
            command: One or more lines for bash.
            on_stdout: Called with output as it comes.
            on_stderr: Likewise.
            wait_timeout: Seconds to wait; then the command goes on, and the shell is busy until it ends. The
                same holds when the call is cancelled. Default: until the command ends.

        Raises:
            ShellBusyError: Another command runs.
            ShellClosedError: The shell has ended, also because the command ended it.
            TimeoutError: ``wait_timeout`` has passed.

        Example:
            ```python
            result = await shell.run("make", on_stdout=sys.stdout.buffer.write)
            ```
        """
        text = check.text("command", command)
        limit = check.optional(check.seconds, "wait_timeout", wait_timeout)
        run = ShellRun(check.callback("on_stdout", on_stdout), check.callback("on_stderr", on_stderr), self._corrupt)
        if self._closed is not None:
            raise ShellClosedError(self._closed)
        if self._run is not None:
            raise ShellBusyError
        self._run = run
        run.result.add_done_callback(lambda _: self._over(run))
        keep_running(self._feed(run, text))
        try:
            finished, _ = await asyncio.wait([run.result], timeout=limit)
        except asyncio.CancelledError:
            run.silence()
            raise
        if finished:
            return run.result.result()
        run.silence()
        raise TimeoutError(
            f"stopped waiting for the command in the shell: wait_timeout ({limit:g} s) has passed",
            code="exec_timeout",
            hint="The command goes on, and the shell is busy until it ends; shell.kill() ends both",
        )

    async def close(self) -> None:
        """Makes the shell exit after the command that it runs, if any, and waits for that.

        Example:
            ```python
            await shell.close()
            ```
        """
        if self._closed is not None:
            return
        self._closed = "it was closed"
        # If it has ended before, wait() reports that.
        with contextlib.suppress(OpenComputerError):
            await self._session.send_stdin("exit\n")
        try:
            await self._session.wait()
        finally:
            await self._session.close()

    async def kill(self, signal: int = 9, *, request_timeout: float | None = None) -> None:
        """Sends a signal to the shell and what it runs.

        Args:
            signal: Its number; 9 is KILL.
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: The session is not kept any more.

        Example:
            ```python
            await shell.kill()
            ```
        """
        await self._session.kill(signal, request_timeout=request_timeout)

    async def __aenter__(self) -> Shell:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _feed(self, run: ShellRun, command: str) -> None:
        try:
            await self._session.send_stdin(run.input(command))
        except LimitError as error:
            # Input that is too large has not been sent, so the shell is unchanged.
            run.fail(error)
        except OpenComputerError as error:
            self._end("it takes no input", error)

    async def _watch(self) -> None:
        try:
            code = await self._session.wait()
        except OpenComputerError as error:
            self._end("its connection is lost", error)
        else:
            self._end(f"bash exited with code {code}", None)

    def _over(self, run: ShellRun) -> None:
        if self._run is run:
            self._run = None

    def _corrupt(self, reason: str) -> None:
        self._end(reason, None)

    def _end(self, reason: str, cause: Exception | None) -> None:
        if self._closed is None:
            self._closed = reason
        if self._run is not None:
            error = ShellClosedError(reason)
            error.__cause__ = cause
            self._run.fail(error)

    async def _push(self, stream: OutputStream, data: bytes) -> None:
        if self._live and self._run is not None:
            await self._run.push(stream, data)

    def _gap(self, _size: int) -> None:
        if self._live and self._run is not None:
            self._run.gap()

    def _go_live(self) -> None:
        self._live = True


async def open_shell(start: Callable[[SessionCallbacks], Awaitable[ExecSession]]) -> Shell:
    """Opens a shell on the session that ``start`` makes."""
    return await Shell()._open(start)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

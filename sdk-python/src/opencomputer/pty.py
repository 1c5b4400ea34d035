"""Terminals of a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from . import check
from .exec_session import (
    Attachment,
    ExecSession,
    OnData,
    OnDisconnect,
    OnEvent,
    OnExit,
    OnGap,
    SessionCallbacks,
    open_session,
    open_started,
    receive,
)

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from .config import Reconnect
    from .sessions import ExecSessionInfo, SessionApi


class PtySession:
    """A terminal with a program in it. It goes on when the connection is lost, and the client reconnects by itself.

    Get one with ``pty.create`` or ``pty.attach``.

    Example:
        ```python
        terminal = await sandbox.pty.create(cols=120, rows=40)
        await terminal.send("exit\\n")
        async for data in terminal:
            screen.write(data)
        ```
    """

    def __init__(self, api: SessionApi, session: ExecSession) -> None:
        """Internal: use ``pty.create`` or ``pty.attach``."""
        self._api = api
        self._session = session

    @property
    def session_id(self) -> str:
        """For ``pty.attach``, also from another process."""
        return self._session.session_id

    @property
    def sandbox_id(self) -> str:
        """Where it runs."""
        return self._session.sandbox_id

    @property
    def offset(self) -> int:
        """Offset in the output: ``pty.attach(session_id, offset=…)`` goes on there."""
        return self._session.offset

    @property
    def done(self) -> Awaitable[int]:
        """The same as ``wait()``, as an awaitable."""
        return self._session.done

    async def wait(self, timeout: float | None = None) -> int:
        """Waits for the end of the program, or of the attachment.

        Args:
            timeout: Seconds to wait; the program goes on afterwards. Default: until it ends.

        Returns:
            The exit code; -1 when the terminal was closed here.

        Raises:
            ConnectionError: The connection is lost for good.
            TimeoutError: ``timeout`` has passed.

        Example:
            ```python
            exit_code = await terminal.wait()
            ```
        """
        return await self._session.wait(timeout)

    async def send(self, data: str | bytes) -> None:
        """Types. Ctrl-C is ``"\\x03"``. It returns when the terminal has it.

        Args:
            data: Keys as a terminal sends them.

        Raises:
            ConflictError: The program has ended.

        Example:
            ```python
            await terminal.send("ls\\n")
            ```
        """
        await self._session.send_stdin(data)

    async def resize(self, cols: int, rows: int, *, request_timeout: float | None = None) -> None:
        """Changes the size of the terminal.

        Args:
            cols: Characters in a row, 1 to 1000.
            rows: Rows, 1 to 1000.
            request_timeout: Seconds after which it fails.

        Raises:
            ConflictError: The program has ended.
            InvalidRequestError: The size is invalid.

        Example:
            ```python
            await terminal.resize(100, 30)
            ```
        """
        await self._api.resize(self.session_id, cols, rows, request_timeout)

    async def kill(self, *, request_timeout: float | None = None) -> None:
        """Hangs up: its processes get SIGHUP, and are killed two seconds later.

        Args:
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: The terminal is not kept any more.

        Example:
            ```python
            await terminal.kill()
            ```
        """
        await self._api.hang_up(self.session_id, request_timeout)

    async def close(self) -> None:
        """Detaches from the terminal, which goes on.

        Example:
            ```python
            await terminal.close()
            ```
        """
        await self._session.close()

    async def __aenter__(self) -> PtySession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def recv(self, timeout: float | None = None) -> bytes:
        """Waits for the next piece of output; for terminals without ``on_output``.

        Args:
            timeout: Seconds to wait. Default: until there is some.

        Returns:
            The bytes; none when the program has ended.

        Raises:
            ConnectionError: The connection is lost for good.
            TimeoutError: ``timeout`` has passed.

        Example:
            ```python
            shown = await terminal.recv()
            ```
        """
        piece = await receive(self._session, timeout)
        return b"" if piece is None else piece.data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The output, piece by piece, until the program ends; for terminals without ``on_output``."""
        async for piece in self._session:
            yield piece.data


class Pty:
    """Terminals of a sandbox: ``sandbox.pty``."""

    def __init__(self, api: SessionApi) -> None:
        """Internal: use ``sandbox.pty``."""
        self._api = api

    async def create(
        self,
        cols: int = 80,
        rows: int = 24,
        on_output: OnData | None = None,
        *,
        shell: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        on_exit: OnExit | None = None,
        on_scrollback_end: OnEvent | None = None,
        on_gap: OnGap | None = None,
        on_disconnect: OnDisconnect | None = None,
        on_reconnect: OnEvent | None = None,
        on_hibernate: OnEvent | None = None,
        on_wake: OnEvent | None = None,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> PtySession:
        """Opens a terminal with a shell in it.

        Args:
            cols: Characters in a row, 1 to 1000.
            rows: Rows, 1 to 1000.
            on_output: Called with what the terminal is to show, as bytes. Without it, iterate over the terminal.
            shell: The program in it. Default ``/bin/bash``, else ``/bin/sh``.
            env: Environment variables in addition to those of the sandbox.
            cwd: Working directory. Default ``/home/sandbox``.
            on_exit: Called with the exit code.
            on_scrollback_end: Called when all output from before the attachment has been delivered.
            on_gap: Called with the number of bytes that are missing at this place.
            on_disconnect: Called with the error when the connection is lost, and is being restored.
            on_reconnect: Called when the connection is restored.
            on_hibernate: Called when the sandbox hibernates: input, or any use, wakes it.
            on_wake: Called when it runs again.
            reconnect: How it reconnects; False: not at all. Default: as the sandbox is configured.
            request_timeout: Seconds that the start may take. Default 60.

        Raises:
            InvalidRequestError: Size or shell is invalid.
            LimitError: Too many commands run.
            SandboxStoppedError: The sandbox has ended.

        Example:
            ```python
            terminal = await sandbox.pty.create(cols=120, rows=40, on_output=sys.stdout.buffer.write)
            await terminal.send("top\\n")
            ```
        """
        callbacks = SessionCallbacks(
            check.callback("on_output", on_output),
            None,
            on_exit,
            on_scrollback_end,
            on_gap,
            on_disconnect,
            on_reconnect,
            on_hibernate,
            on_wake,
        )
        body = {
            "cols": check.whole("cols", cols),
            "rows": check.whole("rows", rows),
            "shell": check.optional(check.text, "shell", shell),
            "envs": check.optional(check.text_map, "env", env),
            "cwd": check.optional(check.text, "cwd", cwd),
        }
        session_id = await self._api.create("pty", body, request_timeout)
        attachment = Attachment(reconnect=reconnect, request_timeout=request_timeout)
        return PtySession(self._api, await open_started(self._api, session_id, callbacks, attachment))

    async def attach(
        self,
        session_id: str,
        on_output: OnData | None = None,
        *,
        cols: int | None = None,
        rows: int | None = None,
        offset: int = 0,
        on_exit: OnExit | None = None,
        on_scrollback_end: OnEvent | None = None,
        on_gap: OnGap | None = None,
        on_disconnect: OnDisconnect | None = None,
        on_reconnect: OnEvent | None = None,
        on_hibernate: OnEvent | None = None,
        on_wake: OnEvent | None = None,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> PtySession:
        """Attaches to a running terminal, with its earlier output: the newest 1 MiB is kept.

        With a size the terminal is resized first, so that a full-screen program draws its screen again.

        Args:
            session_id: Of the terminal.
            on_output: As for ``create``.
            cols: Characters in a row; only together with ``rows``.
            rows: Rows.
            offset: Where in the output to begin: ``offset`` of an earlier attachment. 0: all that is kept.
            on_exit: As for ``create``.
            on_scrollback_end: As for ``create``.
            on_gap: As for ``create``.
            on_disconnect: As for ``create``.
            on_reconnect: As for ``create``.
            on_hibernate: As for ``create``.
            on_wake: As for ``create``.
            reconnect: As for ``create``.
            request_timeout: Seconds that the attachment may take. Default 60.

        Raises:
            NotFoundError: No terminal has this id.

        Example:
            ```python
            again = await sandbox.pty.attach(terminal.session_id, cols=100, rows=30)
            ```
        """
        callbacks = SessionCallbacks(
            check.callback("on_output", on_output),
            None,
            on_exit,
            on_scrollback_end,
            on_gap,
            on_disconnect,
            on_reconnect,
            on_hibernate,
            on_wake,
        )
        if cols is not None and rows is not None:
            await self._api.resize(session_id, cols, rows, request_timeout)
        attachment = Attachment(offset, reconnect, request_timeout)
        return PtySession(self._api, await open_session(self._api, session_id, callbacks, attachment))

    async def list(self, *, request_timeout: float | None = None) -> builtins.list[ExecSessionInfo]:
        """Lists the terminals.

        Args:
            request_timeout: Seconds after which it fails.

        Raises:
            SandboxNotFoundError: The sandbox does not exist.

        Example:
            ```python
            ids = [info.session_id for info in await sandbox.pty.list()]
            ```
        """
        return await self._api.list("pty", request_timeout)

"""A running command, and the connection to it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from . import check
from .config import Reconnect, check_reconnect
from .connection.link import LinkOptions, SessionLink
from .connection.notify import keep_running, notify
from .connection.output import OutputQueue, enough
from .deadline import Deadline, Expired
from .errors import OpenComputerError, TimeoutError, invalid_option

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .connection.frames import OutputStream
    from .sessions import SessionApi

# Callbacks may be functions or coroutine functions; what they return is ignored.
OnData: TypeAlias = "Callable[[bytes], object]"
OnExit: TypeAlias = "Callable[[int], object]"
OnEvent: TypeAlias = "Callable[[], object]"
OnGap: TypeAlias = "Callable[[int], object]"
OnDisconnect: TypeAlias = "Callable[[OpenComputerError], object]"

# How the listener of a session passes on events.
Happen: TypeAlias = "Callable[[int, Callable[[], Awaitable[None]]], None]"
Tell: TypeAlias = "Callable[[OutputStream, bytes], Awaitable[None]]"
Finish: TypeAlias = "Callable[[int, OpenComputerError | None], None]"


@dataclass(frozen=True)
class ExecOutput:
    """A piece of output.

    Attributes:
        stream: ``stdout`` or ``stderr``.
        data: The bytes.
    """

    stream: OutputStream
    data: bytes


@dataclass(frozen=True)
class SessionCallbacks:
    """Callbacks of a session. They are called in order, one after the other."""

    on_stdout: OnData | None = None
    on_stderr: OnData | None = None
    on_exit: OnExit | None = None
    on_scrollback_end: OnEvent | None = None
    on_gap: OnGap | None = None
    on_disconnect: OnDisconnect | None = None
    on_reconnect: OnEvent | None = None
    on_hibernate: OnEvent | None = None
    on_wake: OnEvent | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            check.callback(name, getattr(self, name))


@dataclass(frozen=True)
class Attachment:
    """Where an attachment begins, and its limits."""

    offset: int = 0
    reconnect: Reconnect | Literal[False] | None = None
    request_timeout: float | None = None


class ExecSession:
    """A running command, and the connection to it. The command goes on when the connection is closed or lost.

    Get one with ``exec.start`` or ``exec.attach``. Callbacks are called one after the other, in the order of
    the events; asynchronous ones are awaited, and a slow one makes the command wait. Exceptions of a callback go to
    the exception handler of the event loop.

    Example:
        ```python
        session = await sandbox.exec.start("sort", on_stdout=sys.stdout.buffer.write)
        await session.send_stdin("b\\na\\n")
        await session.close_stdin()
        exit_code = await session.wait()
        ```
    """

    def __init__(self, api: SessionApi, session_id: str, callbacks: SessionCallbacks, attachment: Attachment) -> None:
        """Internal: use ``exec.start`` or ``exec.attach``."""
        self._api = api
        self._session_id = session_id
        self._callbacks = callbacks
        # Without a callback output waits for a loop that iterates.
        self._queues = callbacks.on_stdout is None
        self._output: OutputQueue[ExecOutput] = OutputQueue(self._flow)
        self._events: deque[tuple[int, Callable[[], Awaitable[None]]]] = deque()
        self._event_bytes = 0
        self._event_arrived = asyncio.Event()
        self._paused = False
        self._done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # With callbacks only, a lost connection is reported by on_exit.
        self._done.add_done_callback(_look)
        options = LinkOptions(
            offset=_offset(attachment.offset),
            request_timeout=attachment.request_timeout,
            reconnect=check_reconnect(attachment.reconnect, api.http.reconnect),
        )
        self._link = SessionLink(
            api.address(session_id), options, _Listener(callbacks, self._happen, self._tell, self._finish)
        )

    async def _open(self) -> ExecSession:
        await self._link.attach()
        keep_running(self._dispatch())
        return self

    @property
    def session_id(self) -> str:
        """For ``exec.attach``, also from another process."""
        return self._session_id

    @property
    def sandbox_id(self) -> str:
        """Where it runs."""
        return self._api.sandbox_id

    @property
    def offset(self) -> int:
        """Offset of the next byte in all output: ``exec.attach(session_id, offset=…)`` goes on there."""
        return self._link.offset

    @property
    def done(self) -> Awaitable[int]:
        """The same as ``wait()``, as an awaitable."""
        future = asyncio.shield(self._done)
        future.add_done_callback(_look)
        return future

    async def wait(self, timeout: float | None = None) -> int:
        """Waits for the end of the command, or of the attachment.

        Args:
            timeout: Seconds to wait; the command goes on afterwards. Default: until it ends.

        Returns:
            The exit code: 128 + n when signal n killed the command, -1 when it ran into ``timeout`` of
            ``exec.start`` or the session was closed here.

        Raises:
            ConnectionError: The connection is lost for good.
            TimeoutError: ``timeout`` has passed.

        Example:
            ```python
            exit_code = await session.wait()
            ```
        """
        limit = check.optional(check.seconds, "timeout", timeout)
        finished, _ = await asyncio.wait([self._done], timeout=limit)
        if not finished:
            raise _stopped_waiting(self._session_id, limit)
        return self._done.result()

    async def send_stdin(self, data: str | bytes) -> None:
        """Writes to the command's standard input.

        It returns when the session has accepted the bytes. Nothing is lost or repeated when the connection breaks
        meanwhile.

        Args:
            data: Bytes, or text that is sent as UTF-8.

        Raises:
            ConflictError: The command has ended or the session is closed.
            LimitError: More than 16 MiB wait for the command to read them.

        Example:
            ```python
            await session.send_stdin("yes\\n")
            ```
        """
        await self._link.send(_bytes("data", data))

    async def close_stdin(self) -> None:
        """Ends the command's standard input, after all that was sent.

        Raises:
            ConflictError: The command has ended or the session is closed.

        Example:
            ```python
            await session.close_stdin()
            ```
        """
        await self._link.send_end()

    async def kill(self, signal: int = 9, *, request_timeout: float | None = None) -> None:
        """Sends a signal to the command and its children.

        Args:
            signal: Its number; 9 is KILL.
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: The session is not kept any more.

        Example:
            ```python
            await session.kill(15)
            ```
        """
        await self._api.kill("exec", self._session_id, signal, request_timeout)

    async def close(self) -> None:
        """Detaches from the command, which goes on. ``wait`` then returns -1.

        Example:
            ```python
            await session.close()
            ```
        """
        if self._link.closed:
            return
        self._link.close()
        self._events.clear()
        self._event_bytes = 0
        self._finish(-1)

    async def __aenter__(self) -> ExecSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[ExecOutput]:
        """The output, piece by piece, until the command ends. A slow loop makes the command wait.

        Of output from before the loop the newest 1 MiB is kept.
        """
        if self._output.dropped:
            await notify(self._callbacks.on_gap, self._output.dropped)
        output = self._take_output()
        try:
            while True:
                try:
                    piece = await output.next()
                except StopAsyncIteration:
                    return
                yield piece
        finally:
            output.leave()

    def _take_output(self) -> OutputQueue[ExecOutput]:
        self._queues = True
        self._output.begin()
        return self._output

    def _happen(self, size: int, event: Callable[[], Awaitable[None]]) -> None:
        self._events.append((size, event))
        self._event_bytes += size
        self._event_arrived.set()
        self._flow()

    def _flow(self) -> None:
        """Makes the server wait while much waits here."""
        waiting = self._event_bytes + self._output.waiting
        if not self._paused and waiting >= enough:
            self._paused = True
            self._link.pause()
        elif self._paused and waiting < enough / 2:
            self._paused = False
            self._link.resume()

    async def _dispatch(self) -> None:
        """Calls back until the end."""
        while True:
            while not self._events:
                if self._done.done():
                    return
                self._event_arrived.clear()
                await self._event_arrived.wait()
            size, event = self._events.popleft()
            await event()
            self._event_bytes = max(0, self._event_bytes - size)
            self._flow()

    async def _tell(self, stream: OutputStream, data: bytes) -> None:
        if self._queues:
            self._output.push(len(data), ExecOutput(stream, data))
        callbacks = self._callbacks
        await notify(callbacks.on_stdout if stream == "stdout" else callbacks.on_stderr, data)

    def _finish(self, exit_code: int, error: OpenComputerError | None = None) -> None:
        async def end() -> None:
            if not self._done.done():
                if error is None:
                    self._done.set_result(exit_code)
                else:
                    self._done.set_exception(error)
            self._output.end(error)
            await notify(self._callbacks.on_exit, exit_code)

        self._happen(0, end)


class _Listener:
    """Passes the events of the link to the callbacks, in order."""

    def __init__(self, callbacks: SessionCallbacks, happen: Happen, tell: Tell, finish: Finish) -> None:
        self._callbacks = callbacks
        self._happen = happen
        self._tell = tell
        self._finish = finish

    def output(self, stream: OutputStream, data: bytes) -> None:
        self._happen(len(data), lambda: self._tell(stream, data))

    def replay_end(self) -> None:
        self._happen(0, lambda: notify(self._callbacks.on_scrollback_end))

    def gap(self, size: int) -> None:
        self._happen(0, lambda: notify(self._callbacks.on_gap, size))

    def exit(self, code: int) -> None:
        self._finish(code, None)

    def fail(self, error: OpenComputerError) -> None:
        self._finish(-1, error)

    def disconnected(self, reason: OpenComputerError) -> None:
        self._happen(0, lambda: notify(self._callbacks.on_disconnect, reason))

    def reconnected(self) -> None:
        self._happen(0, lambda: notify(self._callbacks.on_reconnect))

    def power(self, *, awake: bool) -> None:
        self._happen(0, lambda: notify(self._callbacks.on_wake if awake else self._callbacks.on_hibernate))


async def open_session(
    api: SessionApi, session_id: str, callbacks: SessionCallbacks, attachment: Attachment
) -> ExecSession:
    """Attaches to a session."""
    return await ExecSession(api, session_id, callbacks, attachment)._open()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


async def open_started(
    api: SessionApi, session_id: str, callbacks: SessionCallbacks, attachment: Attachment
) -> ExecSession:
    """Attaches to a session that has just been started; errors name it."""
    try:
        return await open_session(api, session_id, callbacks, attachment)
    except OpenComputerError as error:
        error.details["sessionId"] = session_id
        raise


async def receive(session: ExecSession, timeout: float | None) -> ExecOutput | None:
    """The next piece of output; None at the end."""
    limit = check.optional(check.seconds, "timeout", timeout)
    output = session._take_output()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    try:
        async with Deadline(limit):
            return await output.next()
    except StopAsyncIteration:
        return None
    except Expired:
        raise _stopped_waiting(session.session_id, limit) from None


def _stopped_waiting(session_id: str, limit: float | None) -> TimeoutError:
    return TimeoutError(
        f"stopped waiting for session {session_id}, which goes on: timeout ({limit:g} s) has passed",
        code="exec_timeout",
        hint="Raise timeout to wait longer; kill() ends the session",
    )


def _look(future: asyncio.Future[int]) -> None:
    if not future.cancelled():
        future.exception()


def _bytes(name: str, data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(cast("bytes", data))
    if isinstance(data, str):
        return check.text(name, data).encode()
    raise invalid_option(f"{name} is {type(data).__name__}", "Give str or bytes.")


def _offset(value: object) -> int:
    return check.count("offset", value)

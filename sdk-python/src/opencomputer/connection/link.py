"""The connection to one session. It reconnects by itself."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from ..errors import ConnectionError, OpenComputerError
from ..retry import may_pass, retry_pause
from .failures import broken_frame, lost_for_good, no_input, unexpected_failure
from .frames import Accepted, Exit, Frame, Gap, Offset, Output, Power, ReplayEnd, parse_frame
from .notify import keep_running
from .open import SessionAddress, closed_error, open_socket
from .reconnect import Reconnection
from .stdin import InputQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.client import ClientConnection

    from ..config import Reconnect
    from .frames import OutputStream

# How often a server is pinged, and how long the answer may take, in seconds.
_ping_interval = 30.0


class LinkListener(Protocol):
    """Events of a link for its session, in order."""

    def output(self, stream: OutputStream, data: bytes) -> None:
        """Output of the command."""

    def replay_end(self) -> None:
        """All output from before the attachment has been delivered."""

    def gap(self, size: int) -> None:
        """This many bytes of output are lost at this place."""

    def exit(self, code: int) -> None:
        """The command has ended, and all its output has been delivered."""

    def fail(self, error: OpenComputerError) -> None:
        """The connection is lost for good."""

    def disconnected(self, reason: OpenComputerError) -> None:
        """The connection is lost, and is being restored."""

    def reconnected(self) -> None:
        """It is back."""

    def power(self, *, awake: bool) -> None:
        """The sandbox hibernates, or runs again."""


@dataclass(frozen=True)
class LinkOptions:
    """Settings of one attachment: the offset in the output to begin at, and limits."""

    offset: int
    request_timeout: float | None
    reconnect: Reconnect | Literal[False]


class SessionLink:
    """Output goes on at the offset that was reached, and input after the bytes that the session has accepted."""

    def __init__(self, address: SessionAddress, options: LinkOptions, listener: LinkListener) -> None:
        """Does not connect before ``attach``."""
        self.offset = options.offset
        self.closed = False
        self._address = address
        self._options = options
        self._listener = listener
        self._reconnection = Reconnection(options.reconnect)
        # Id of this writer, so that the session knows what it has accepted from it.
        self._client = secrets.token_hex(16)
        self._input = InputQueue()
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._to_write = asyncio.Event()
        self._to_read = asyncio.Event()
        self._paused = False
        self._takes_input = False
        self._resumable = False
        self._replayed = False

    async def attach(self) -> None:
        """Attaches; see ``open_socket`` for what it raises."""
        attempt = 1
        while True:
            try:
                socket, first = await self._connect(self._options.request_timeout)
                break
            except OpenComputerError as error:
                pause = retry_pause(error, attempt, idempotent=True)
                if pause is None:
                    raise
            attempt += 1
            await asyncio.sleep(pause)
        self._socket = socket
        self._task = keep_running(self._run(socket, first))

    async def send(self, data: bytes) -> None:
        """Returns when the session has accepted the bytes."""
        await self._sent(self._input.push(data))

    async def send_end(self) -> None:
        """Ends the command's standard input."""
        await self._sent(self._input.end())

    def pause(self) -> None:
        """Makes the server wait."""
        self._paused = True
        self._to_read.clear()

    def resume(self) -> None:
        """Reads on."""
        self._paused = False
        self._to_read.set()

    def close(self) -> None:
        """Detaches from the session, which goes on. Nothing is delivered from now on."""
        self._end(no_input(self._address.session_id, "was closed"))
        if self._task is not None and self._task is not _current_task():
            self._task.cancel()
            # A task that has not begun does not clean up.
            if self._socket is not None:
                self._socket.transport.abort()

    async def _sent(self, futures: list[asyncio.Future[None]]) -> None:
        self._to_write.set()
        # Callers that wait for acceptance must be notified, however full the queue is.
        self._to_read.set()
        for future in futures:
            await future

    def _fail(self, error: OpenComputerError) -> None:
        if not self.closed:
            self._end(error)
            self._listener.fail(error)

    def _end(self, input_error: OpenComputerError) -> None:
        self.closed = True
        self._input.fail(input_error)

    async def _connect(self, timeout: float | None) -> tuple[ClientConnection, str | bytes]:
        query = {"from": str(self.offset), "client": self._client}
        self._takes_input = False
        socket, first = await open_socket(self._address, query, timeout)
        self._reconnection.attached()
        return socket, first

    async def _run(self, socket: ClientConnection, first: str | bytes) -> None:
        try:
            while True:
                lost = await self._converse(socket, first)
                if lost is None or self.closed:
                    return None
                self._takes_input = False
                self._reconnection.lost()
                # A server may also disconnect a client that reads too slowly.
                refused = not isinstance(lost, ConnectionError) and self._input.under_way
                if not self._resumable or refused:
                    return self._fail(lost)
                self._listener.disconnected(lost)
                back = await self._come_back(lost)
                if back is None:
                    return None
                socket, first = back
                self._listener.reconnected()
        except Exception as error:
            # Callers that wait for the session must get the error, whatever it is.
            self._fail(unexpected_failure(self._address.session_id, error))
            raise
        finally:
            self._end(no_input(self._address.session_id, "was closed here"))

    async def _converse(self, socket: ClientConnection, first: str | bytes) -> OpenComputerError | None:
        """Uses a connection until it ends; returns the error of that, or None when it is time to reconnect."""
        self._socket = socket
        tasks = [asyncio.ensure_future(work) for work in (self._write(socket), self._keep_alive(socket))]
        try:
            async for message in self._messages(socket, first):
                frame = parse_frame(message)
                if frame is not None and not self._on_frame(frame):
                    break
            await socket.close()
        except ConnectionClosed as closed:
            return closed_error(self._address.session_id, closed)
        except ValueError as error:
            self._fail(broken_frame(self._address.session_id, error))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._socket = None
            if socket.state is not State.CLOSED:
                socket.transport.abort()
        return None

    async def _messages(self, socket: ClientConnection, first: str | bytes) -> AsyncIterator[bytes]:
        message = first
        while True:
            # No server of this protocol sends text.
            if isinstance(message, bytes):
                yield message
            while self._paused and not self._input.waiting:
                self._to_read.clear()
                await self._to_read.wait()
            message = await socket.recv()

    async def _come_back(self, lost: OpenComputerError) -> tuple[ClientConnection, str | bytes] | None:
        last: OpenComputerError = lost
        while True:
            pause = self._reconnection.next_pause()
            if pause is None:
                timeout = self._reconnection.timeout
                error = lost_for_good(self._address.session_id, self.offset, timeout, last)
                error.__cause__ = last
                self._fail(error if timeout else lost)
                return None
            await asyncio.sleep(pause)
            try:
                return await self._connect(self._reconnection.attempt_limit())
            except OpenComputerError as error:
                if not may_pass(error):
                    self._fail(error)
                    return None
                last = error

    async def _write(self, socket: ClientConnection) -> None:
        while True:
            self._to_write.clear()
            if self._takes_input:
                for frame in self._input.frames():
                    try:
                        await socket.send(frame)
                    except ConnectionClosed:
                        # The reader gets the error, too, and handles it.
                        return
                if not self._resumable:
                    self._input.accept_sent()
            await self._to_write.wait()

    async def _keep_alive(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(_ping_interval)
            # While nothing is read, no answer arrives either.
            if self._paused:
                continue
            try:
                answer = await socket.ping()
                await asyncio.wait_for(asyncio.shield(answer), _ping_interval)
            except asyncio.TimeoutError:
                if not self._paused:
                    socket.transport.abort()
            except ConnectionClosed:
                return

    def _on_frame(self, frame: Frame) -> bool:
        """False when nothing more is to come."""
        match frame:
            case Output():
                self._reconnection.progress()
                self.offset += len(frame.data)
                self._listener.output(frame.stream, frame.data)
            case Accepted():
                self._on_accepted(frame.total)
            case Offset():
                self.offset = frame.offset
            case Gap():
                self.offset += frame.size
                self._listener.gap(frame.size)
            case ReplayEnd():
                self._take_input()
                if not self._replayed:
                    self._listener.replay_end()
                self._replayed = True
            case Power():
                self._listener.power(awake=frame.awake)
            case Exit():
                self._end(no_input(self._address.session_id, "has ended"))
                self._listener.exit(frame.code)
                return False
        return True

    def _on_accepted(self, total: int) -> None:
        self._resumable = True
        if self._takes_input:
            self._reconnection.progress()
            self._input.accept(total)
            self._to_write.set()
        else:
            self._input.rewind(total)
            self._take_input()

    def _take_input(self) -> None:
        self._takes_input = True
        self._to_write.set()


def _current_task() -> asyncio.Task[object] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None

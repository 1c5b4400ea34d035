"""Input of one client for one session."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ..errors import LimitError, OpenComputerError
from .frames import end_of_input_frame, input_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

# How much input may wait for the command.
_most_waiting = 16 * 1024 * 1024
# How much input may be under way at a time.
_most_on_the_way = 1024 * 1024


class InputQueue:
    """Input, kept until the session has accepted it, so that no byte is lost or sent twice."""

    def __init__(self) -> None:
        """Begins empty."""
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._end_waiters: list[asyncio.Future[None]] = []
        self._queued = self._sent = self._accepted = 0
        self._ended = self._end_sent = False
        self._failure: OpenComputerError | None = None

    @property
    def waiting(self) -> bool:
        """True while somebody waits until input is accepted."""
        return bool(self._waiters or self._end_waiters)

    @property
    def under_way(self) -> bool:
        """True while something has been sent that the session has not accepted."""
        return self._sent > self._accepted or self._end_sent

    def push(self, data: bytes) -> list[asyncio.Future[None]]:
        """Takes input; the futures are done when the session has accepted it."""
        self._check()
        if self._queued - self._accepted + len(data) > _most_waiting:
            raise LimitError(
                f"more than {_most_waiting} bytes of input wait for the command to read them",
                code="too_large",
                hint="Await each send_stdin before the next, and send less than 16 MiB at once.",
            )
        if data:
            self._pieces.append((self._queued, data))
        self._queued += len(data)
        return self._acceptance()

    def end(self) -> list[asyncio.Future[None]]:
        """Marks the end of the input. The futures are done when all is accepted, and the end is sent."""
        self._check()
        self._ended = True
        futures = self._acceptance()
        if not self._end_sent:
            self._end_waiters.append(asyncio.get_running_loop().create_future())
            futures.append(self._end_waiters[-1])
        return futures

    def accept(self, total: int) -> None:
        """The session has accepted this many bytes in all."""
        self._accepted = max(self._accepted, min(total, self._sent))
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= self._accepted:
            self._pieces.popleft()
        while self._waiters and self._waiters[0][0] <= self._accepted:
            _resolve(self._waiters.popleft()[1])

    def accept_sent(self) -> None:
        """Everything that was sent counts as accepted, for servers that do not acknowledge."""
        self.accept(self._sent)

    def rewind(self, total: int) -> None:
        """A new connection is open, and the session has this many bytes: later bytes are sent again."""
        self.accept(total)
        self._sent = self._accepted
        self._end_sent = False

    def frames(self) -> Iterator[bytes]:
        """Frames to send now."""
        for start, data in list(self._pieces):
            if start + len(data) <= self._sent:
                continue
            room = self._accepted + _most_on_the_way - self._sent
            if room <= 0:
                return
            part = data[self._sent - start :][:room]
            self._sent += len(part)
            yield from input_frames(part)
        if not self._ended or self._end_sent or self._sent < self._queued:
            return
        self._end_sent = True
        yield end_of_input_frame()
        for future in self._end_waiters:
            _resolve(future)
        self._end_waiters.clear()

    def fail(self, error: OpenComputerError) -> None:
        """Nothing can be sent any more: waiting and later callers get the error."""
        if self._failure is None:
            self._failure = error
        self._pieces.clear()
        for future in [*(future for _, future in self._waiters), *self._end_waiters]:
            if not future.done():
                future.set_exception(self._failure)
                # A caller that stopped waiting does not look at it any more.
                future.exception()
        self._waiters.clear()
        self._end_waiters.clear()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _acceptance(self) -> list[asyncio.Future[None]]:
        if self._queued <= self._accepted:
            return []
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((self._queued, future))
        return [future]


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

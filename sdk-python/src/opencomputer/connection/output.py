"""Output for a loop that iterates."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# How much output is kept before a loop iterates it, and from which amount on the sender has to wait.
enough = 1024 * 1024


class OutputQueue(Generic[T]):
    """Until a loop begins the newest 1 MiB is kept; from then on nothing is dropped."""

    def __init__(self, on_taken: Callable[[], None]) -> None:
        """``on_taken`` is called whenever there is less in it than before."""
        self._on_taken = on_taken
        self._items: deque[tuple[int, T]] = deque()
        self._bytes = 0
        self._iterated = False
        self._closed = False
        self._failure: BaseException | None = None
        self._arrived = asyncio.Event()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Bytes that somebody is going to take."""
        return self._bytes if self._iterated else 0

    def begin(self) -> None:
        """Somebody iterates from now on."""
        self._iterated = True

    def push(self, size: int, item: T) -> None:
        """Takes an item of this many bytes."""
        if self._closed or size == 0:
            return
        self._items.append((size, item))
        self._bytes += size
        self._arrived.set()
        while not self._iterated and self._bytes > enough:
            oldest, _ = self._items.popleft()
            self._bytes -= oldest
            self.dropped += oldest

    def end(self, failure: BaseException | None = None) -> None:
        """Marks the end; readers get the rest first."""
        if not self._closed:
            self._closed = True
            self._failure = failure
            self._arrived.set()

    def leave(self) -> None:
        """The reader has left: output is dropped from now on."""
        self.end()
        self._items.clear()
        self._bytes = 0
        self._on_taken()

    async def next(self) -> T:
        """The next item.

        Raises:
            StopAsyncIteration: There is no more.
        """
        while not self._items:
            if self._closed:
                if self._failure is not None:
                    raise self._failure
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        size, item = self._items.popleft()
        self._bytes -= size
        self._on_taken()
        return item

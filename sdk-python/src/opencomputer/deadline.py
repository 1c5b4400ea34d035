"""Time limits that are distinct from the caller's own cancellation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_longest = 365 * 24 * 3600.0


class Deadline:
    """Ends the block with ``Expired`` when it takes too long. A cancellation from outside passes as it is.

    The clock starts with the block; ``restart`` starts it again, e.g. after progress, and ``pause`` stops it.
    """

    def __init__(self, limit: float | None) -> None:
        """Takes the limit in seconds; None or 0 means none."""
        self.limit = limit if limit and limit < _longest else 0.0
        self.expired = False
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelling = 0

    async def __aenter__(self) -> Deadline:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task")
        self._task = task
        self._cancelling = _count(task, "cancelling")
        self.restart()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()
        task, self._task = self._task, None
        if not self.expired or task is None:
            return
        others = _count(task, "uncancel") > self._cancelling
        if kind is not None and issubclass(kind, asyncio.CancelledError) and not others:
            raise Expired from failure

    def restart(self) -> None:
        """Starts the clock again."""
        self.pause()
        if self.limit and self._task is not None and not self.expired:
            self._timer = asyncio.get_running_loop().call_later(self.limit, self._expire)

    def pause(self) -> None:
        """Stops the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        if self._task is not None:
            self.expired = True
            self._task.cancel()


class Expired(Exception):  # noqa: N818 - it is caught where it is raised
    """The time is up."""


def _count(task: asyncio.Task[object], name: str) -> int:
    """How often the task is being cancelled. Python 3.10 does not count that."""
    method: Callable[[], int] | None = getattr(task, name, None)
    return 0 if method is None else method()

"""Runs blocking functions without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

# Seconds for which an idle thread is kept.
_idle_time = 10.0


class _Threads:
    """Threads that are made when none is idle. There is no maximum: one may wait for the work of another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: deque[SimpleQueue[Callable[[], None]]] = deque()

    def run(self, job: Callable[[], None]) -> None:
        with self._lock:
            known = self._idle.pop() if self._idle else None
        queue: SimpleQueue[Callable[[], None]] = SimpleQueue() if known is None else known
        if known is None:
            # Whatever a callback does, it must not keep the process from ending.
            threading.Thread(target=self._work, args=[queue], name="opencomputer-worker", daemon=True).start()
        queue.put(job)

    def _work(self, queue: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            try:
                queue.get(timeout=_idle_time)()
            except Empty:
                with self._lock:
                    # It may just have got something to do.
                    if queue in self._idle:
                        self._idle.remove(queue)
                        return
            else:
                with self._lock:
                    self._idle.append(queue)


_threads = _Threads()


def _forget_threads() -> None:
    global _threads
    _threads = _Threads()


if hasattr(os, "register_at_fork"):
    # A forked process has none of the threads of its parent.
    os.register_at_fork(after_in_child=_forget_threads)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a function in another thread and waits for it. When the wait is cancelled, the function goes on."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def job() -> None:
        try:
            result = context.run(function, *args, **kwargs)
        except StopIteration as error:
            # A future cannot carry this exception.
            failure = RuntimeError(f"{function!r} raised StopIteration")
            failure.__cause__ = error
            tell(_fail, failure)
        except BaseException as error:
            tell(_fail, error)
        else:
            tell(_succeed, result)

    def tell(how: Callable[[asyncio.Future[T], Any], None], what: Any) -> None:
        # A loop that is closed waits for nothing any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(how, future, what)

    _threads.run(job)
    return await future


def _succeed(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)

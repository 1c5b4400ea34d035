"""The way from any thread to the asynchronous client: one event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from ..errors import invalid_option
from ..pool import close_pools
from ..threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from concurrent.futures import Future
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F")

# Seconds that the end of the process waits for connections to be closed.
_closing_time = 5.0


class Portal:
    """An event loop that begins with the first call and ends with the process."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Calls an asynchronous function in the loop."""
        loop = self._running_loop()

        async def work() -> T:
            return await function(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(work(), loop)

    def is_here(self) -> bool:
        """True in the thread of the loop, where nothing may wait."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Ends the loop, and with it every connection."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_closing_time)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise RuntimeError("opencomputer.sync cannot be used while the process ends")
            if self.is_here():
                raise RuntimeError(
                    "opencomputer.sync was called from its own event loop, where it would wait for itself; "
                    "give it plain functions and iterables instead of asynchronous ones"
                )
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=[self._loop], name="opencomputer-sync", daemon=True)
                self._thread.start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(close_pools())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


_portal = Portal()
atexit.register(lambda: _portal.close())


def _new_portal() -> None:
    global _portal
    _portal = Portal()


if hasattr(os, "register_at_fork"):
    # A forked process has no thread of its parent, so it gets a loop of its own.
    os.register_at_fork(after_in_child=_new_portal)


def submit(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Calls an asynchronous function, and does not wait for it."""
    return _portal.submit(function, *args, **kwargs)


def call(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls an asynchronous function and waits for it. Ctrl-C aborts it."""
    future = _portal.submit(function, *args, **kwargs)
    try:
        return future.result()
    finally:
        # Without effect unless the wait was interrupted.
        future.cancel()


def iterate(function: Callable[P, AsyncIterator[T]], *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
    """Iterates over what an asynchronous generator gives."""
    portal = _portal
    iterator = function(*args, **kwargs)

    async def step() -> tuple[T, ...]:
        try:
            return (await anext(iterator),)
        except StopAsyncIteration:
            return ()

    try:
        while found := call(step):
            yield found[0]
    finally:
        _finish(portal, iterator)


def _finish(portal: Portal, iterator: AsyncIterator[object]) -> None:
    """Lets go of what a generator holds. In a forked process, or at the end of this one, there is nothing left."""
    if not isinstance(iterator, AsyncGenerator) or portal is not _portal:
        return
    generator = cast("AsyncGenerator[object, None]", iterator)

    async def close() -> None:
        await generator.aclose()

    try:
        future = portal.submit(close)
    except RuntimeError:
        return
    future.result()


class Callbacks:
    """Callbacks of one call. They run in other threads than the loop's, so that they may use this package.

    With ``held`` they wait until the call has returned, since they may use what it returns.
    """

    def __init__(self, *, held: bool) -> None:
        """Takes no callback yet."""
        self._released = threading.Event()
        if not held:
            self._released.set()

    def of(self, name: str, callback: F) -> F:
        """What the asynchronous client is to call instead. Anything that cannot be called is left to its check."""
        if callback is None or not callable(callback):
            return callback
        if inspect.iscoroutinefunction(callback):
            raise invalid_option(f"{name} is an asynchronous function", "Give a plain one, or use opencomputer's own.")

        def run(*args: object) -> None:
            self._released.wait()
            callback(*args)

        async def call_back(*args: object) -> None:
            await in_thread(run, *args)

        return cast("Any", call_back)

    def __enter__(self) -> Callbacks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()

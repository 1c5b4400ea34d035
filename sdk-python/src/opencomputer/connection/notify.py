"""Calls back."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

_tasks: set[asyncio.Task[None]] = set()


async def notify(callback: Callable[..., object] | None, *args: object) -> None:
    """Calls a function, and waits for it if it is asynchronous.

    Its exceptions go to the exception handler of the event loop: they must neither break the connection nor prevent the
    next event.
    """
    if callback is None:
        return
    try:
        result = callback(*args)
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        context = {"message": f"{callback!r} failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def keep_running(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Runs something in the background; event loops themselves do not keep tasks alive."""
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task

"""Waits for what other threads do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_limit = 30.0


async def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + _limit
    while not condition():
        assert time.monotonic() < end, "it has not happened"
        # Real time: the pause between two looks.
        await asyncio.sleep(0.005)


async def standstill(read: Callable[[], int], turns: int = 1000) -> int:
    """Where a counter stands once it has not changed for so many turns of the event loop, beyond 0."""
    last = still = 0
    while still < turns or last == 0:
        now = read()
        still = still + 1 if now == last else 0
        last = now
        await asyncio.sleep(0)
    return last


def eventually_sync(condition: Callable[[], object]) -> None:
    end = time.monotonic() + _limit
    while not condition():
        assert time.monotonic() < end, "it has not happened"
        # Real time: the pause between two looks.
        time.sleep(0.005)

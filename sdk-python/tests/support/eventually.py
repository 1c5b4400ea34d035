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
        await asyncio.sleep(0.005)


def eventually_sync(condition: Callable[[], object]) -> None:
    end = time.monotonic() + _limit
    while not condition():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.005)

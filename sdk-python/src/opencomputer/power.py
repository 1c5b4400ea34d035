"""Turning the machine of a sandbox off and on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import check
from .answers import Answer
from .http import HttpClient, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

# Starts and saves of machines take longer than other calls.
_change_timeout = 300.0


async def hibernate(http: HttpClient, path: str, request_timeout: float | None) -> None:
    """See ``Sandbox.hibernate``."""
    await http.json(change(f"{path}/hibernate", {}, request_timeout))


async def wake(http: HttpClient, path: str, timeout: int | None, request_timeout: float | None) -> Answer:
    """See ``Sandbox.wake``; returns the server's new data about it."""
    body = {"timeout": check.optional(check.count, "timeout", timeout)}
    return Answer(await http.json(change(f"{path}/wake", body, request_timeout)))


async def reboot(http: HttpClient, path: str, request_timeout: float | None) -> None:
    """See ``Sandbox.reboot``."""
    await http.done(change(f"{path}/reboot", {}, request_timeout))


async def power_cycle(http: HttpClient, path: str, request_timeout: float | None) -> None:
    """See ``Sandbox.power_cycle``."""
    await http.done(change(f"{path}/power-cycle", {}, request_timeout))


def change(path: str, body: Mapping[str, object], timeout: float | None) -> Request:
    """A request that starts or saves a machine."""
    return Request("POST", path, json=body, timeout=timeout, default_timeout=_change_timeout)

"""What the clients name differently. Everything else is the same in all of them: see ``driver.py``."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from values import snake

_chunk = 256 * 1024

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Surface:
    """One client.

    Attributes:
        module: Has ``Sandbox``.
        blocking: Calls return when they are done; such ones run in threads.
        name_of: The client's name of an operation.
        arguments_of: The client's arguments of an operation, from ones with names in snake case.
        wait: Waits for the end of a session.
    """

    module: str
    blocking: bool
    name_of: Callable[[str], str]
    arguments_of: Callable[[str, Arguments], Arguments]
    wait: Callable[[Any], Any]

    @property
    def sandbox(self) -> Any:
        """The class ``Sandbox``."""
        return importlib.import_module(self.module).Sandbox


def _published_wait(session: Any) -> Awaitable[int]:
    # Its agent sessions hear only while somebody waits.
    return session.wait() if hasattr(session, "wait") else session.done


def _published_arguments(name: str, given: Arguments) -> Arguments:
    return {"cmd" if name == "Shell.run" and key == "command" else key: value for key, value in given.items()}


def _our_name(name: str) -> str:
    return {"Sandbox.fork": "fork_checkpoint"}.get(name, name.rpartition(".")[2])


def _our_arguments(_name: str, given: Arguments) -> Arguments:
    arguments = dict(given)
    if "from" in arguments:
        arguments["offset"] = arguments.pop("from")
    if "timeout_ms" in arguments:
        arguments["wait_timeout"] = arguments.pop("timeout_ms") / 1000
    if "retention_policy" in arguments:
        policy = arguments["retention_policy"]
        retention = importlib.import_module("opencomputer").RetentionPolicy
        arguments["retention_policy"] = retention(**{snake(key): value for key, value in policy.items()})
    return arguments


published = Surface(
    module="opencomputer",
    blocking=False,
    name_of=lambda name: name.rpartition(".")[2],
    arguments_of=_published_arguments,
    wait=_published_wait,
)
ours = Surface(
    module="opencomputer",
    blocking=False,
    name_of=_our_name,
    arguments_of=_our_arguments,
    wait=lambda session: session.wait(),
)
ours_sync = Surface(
    module="opencomputer.sync",
    blocking=True,
    name_of=_our_name,
    arguments_of=_our_arguments,
    wait=lambda session: session.wait(),
)

surfaces = {"published": published, "ours": ours, "ours-sync": ours_sync}


class Caller:
    """Calls a client in its way and waits for the result."""

    def __init__(self, surface: Surface) -> None:
        """As many blocking calls may be under way as any test makes at once."""
        self._threads = ThreadPoolExecutor(256) if surface.blocking else None

    async def call(self, function: Callable[..., Any], arguments: Arguments) -> Any:
        """The result; what a generator yields comes as a list."""
        if self._threads is not None:
            work = partial(_finish, function, arguments)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        result = function(**arguments)
        if isinstance(result, AsyncIterator):
            return [item async for item in result]
        return await result if isinstance(result, Awaitable) else result

    def stream(self, path: str) -> AsyncIterator[bytes] | Iterator[bytes]:
        """A file, piece by piece."""
        return _pieces(path) if self._threads is not None else _pieces_async(path)


def _finish(function: Callable[..., Any], arguments: Arguments) -> Any:
    result = function(**arguments)
    return list(result) if isinstance(result, Iterator) else result


def _pieces(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_chunk):
            yield piece


async def _pieces_async(path: str) -> AsyncIterator[bytes]:
    for piece in _pieces(path):
        yield piece

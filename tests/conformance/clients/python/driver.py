"""Lets tests use a Python client: takes calls as lines of JSON on stdin, and answers them on stdout.

A call is ``{id, object?, call, arguments, listener?: {id, names}}``; without ``object`` it is one of the class
``Sandbox``. Its answer is ``{id, value}`` or ``{id, error}``; what a callback is told comes as ``{listener, name,
value}``. Both may bring ``properties`` of objects by their numbers. The end of stdin ends the driver.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from surfaces import Caller, Surface, surfaces
from values import Encoder, camel, decode, snake

if TYPE_CHECKING:
    from collections.abc import Callable

# What stays with the client, and is spoken of by a number. With the properties that tests look at.
_objects = {
    "Sandbox": ("sandbox_id", "status", "domain"),
    "ExecSession": ("session_id", "offset"),
    "PtySession": ("session_id",),
    "AgentSession": ("session_id",),
    "Shell": ("session_id",),
}
# These take effect in the order of their calls.
_in_order = {"send_stdin", "close_stdin", "send", "send_prompt", "interrupt", "configure"}


class Driver:
    """One client with all that tests have of it."""

    def __init__(self, surface: Surface, directory: str) -> None:
        self._surface = surface
        self._caller = Caller(surface)
        self._encoder = Encoder(directory)
        self._held: list[Any] = []
        self._listening: dict[int, int] = {}
        self._order: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writing = threading.Lock()

    async def answer(self, request: dict[str, Any]) -> None:
        """Makes one call and tells its result."""
        number: int | None = request.get("object")
        changed = [] if number is None else [number]
        answer: dict[str, Any] = {"id": request["id"]}
        try:
            result = await self._perform(number, request)
            answer["value"] = self._value(result, request.get("listener"), changed)
        except Exception as error:  # whatever it is, the test is to have it
            answer["error"] = _told(error)
        self._write(answer, changed)

    async def close(self) -> None:
        """Closes the connections of all sandboxes."""
        for held in self._held:
            if type(held).__name__ == "Sandbox":
                await self._caller.call(held.close, {})

    async def _perform(self, number: int | None, request: dict[str, Any]) -> Any:
        target = self._surface.sandbox if number is None else self._held[number]
        if request["call"] == "wait":
            return await self._caller.call(lambda: self._surface.wait(target), {})
        *path, last = request["call"].split(".")
        for part in path:
            target = getattr(target, part)
        kind = "Sandbox" if number is None else type(target).__name__
        name = self._surface.name_of(f"{kind}.{snake(last)}") if number is None else snake(last)
        function = getattr(target, name)
        arguments = self._arguments(f"{kind}.{name}", function, request)
        if name not in _in_order:
            return await self._caller.call(function, arguments)
        async with self._order[id(target)]:
            return await self._caller.call(function, arguments)

    def _arguments(self, name: str, function: Callable[..., Any], request: dict[str, Any]) -> dict[str, Any]:
        named = {snake(key): decode(value) for key, value in request["arguments"].items()}
        arguments = self._surface.arguments_of(name, named)
        for key, value in arguments.items():
            if isinstance(value, dict) and "$stream" in value:
                arguments[key] = self._caller.stream(value["$stream"])
        listener = request.get("listener")
        if listener is not None:
            # A callback that a client does not have is never called: tests that need it say which clients cannot.
            known = inspect.signature(function).parameters
            for callback in listener["names"]:
                if snake(callback) in known:
                    arguments[snake(callback)] = self._callback(listener["id"], callback)
        return arguments

    def _callback(self, listener: int, name: str) -> Callable[..., None]:
        def tell(*values: Any) -> None:
            value: Any = values[0] if values else None
            if type(value).__name__ == "AgentEvent":
                value = {"type": value.type, **value.data}
            event = {"listener": listener, "name": name, "value": self._encoder.encode(value)}
            # Unknown while it is being opened: the answer to that call tells the properties then.
            self._write(event, [self._listening[listener]] if listener in self._listening else [])

        return tell

    def _value(self, value: Any, listener: dict[str, Any] | None, changed: list[int]) -> Any:
        if type(value).__name__ in _objects:
            self._held.append(value)
            number = len(self._held) - 1
            changed.append(number)
            if listener is not None:
                self._listening[listener["id"]] = number
            return {"$object": number}
        if isinstance(value, list):
            return [self._value(item, listener, changed) for item in value]
        return self._encoder.encode(value)

    def _properties(self, number: int) -> dict[str, Any]:
        held = self._held[number]
        names = [name for name in _objects[type(held).__name__] if hasattr(held, name)]
        return {camel(name): self._encoder.encode(getattr(held, name)) for name in names}

    def _write(self, message: dict[str, Any], changed: list[int]) -> None:
        if changed:
            message["properties"] = {number: self._properties(number) for number in changed}
        line = json.dumps(message).encode() + b"\n"
        # Callbacks of a blocking client come from its own thread.
        with self._writing:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()


def _told(error: Exception) -> dict[str, Any]:
    """An error as tests see it: with the answer of the server where there was one."""
    told: dict[str, Any] = {"name": type(error).__name__, "message": str(error) or repr(error)}
    response = getattr(error, "response", None)
    if response is not None:
        body = response.text if hasattr(response, "text") else (response.body or b"").decode()
        told |= {"status": response.status_code, "message": f"{error}: {body}"}
    for name in ("status", "code", "hint", "exec_id"):
        if getattr(error, name, None) is not None:
            told[camel(name)] = getattr(error, name)
    return told


async def _run(surface: Surface, directory: str) -> None:
    driver = Driver(surface, directory)
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, b"")

    threading.Thread(target=read, daemon=True).start()
    calls: set[asyncio.Task[None]] = set()
    while line := await lines.get():
        call = loop.create_task(driver.answer(json.loads(line)))
        calls.add(call)
        call.add_done_callback(calls.discard)
    for call in calls:
        call.cancel()
    await driver.close()


if __name__ == "__main__":
    asyncio.run(_run(surfaces[sys.argv[1]], sys.argv[2]))

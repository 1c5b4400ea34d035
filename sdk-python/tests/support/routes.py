"""Answers by path, below that of the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from opencomputer import Sandbox

from .http_server import Exchange, SeenRequest, TestServer, wire_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

Answer: TypeAlias = "tuple[int, object] | Callable[[SeenRequest, Exchange], object]"

sandbox_path = "/api/sandboxes/sb-0a1b2c3d"


def routed(**routes: Answer) -> Callable[[SeenRequest, Exchange], None]:
    """Routes are named ``POST_exec_run``; what has none gets the sandbox."""

    def handle(request: SeenRequest, exchange: Exchange) -> None:
        tail = request.path.removeprefix(sandbox_path).removeprefix("/api").strip("/")
        name = "_".join([request.method, *tail.replace("-", "_").split("/")]) if tail else request.method
        answer = routes.get(name)
        if answer is None:
            return exchange.send_json(200, wire_sandbox) if request.method != "DELETE" else exchange.send(204)
        if callable(answer):
            answer(request, exchange)
            return None
        return exchange.send_json(*answer)

    return handle


async def sandbox_at(server: TestServer, **options: Any) -> Sandbox:
    return await Sandbox.connect("sb-0a1b2c3d", "osb_key", server.url, **options)

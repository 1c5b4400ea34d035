"""Terminals and agents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from opencomputer import AgentEvent, Sandbox, TimeoutError
from opencomputer.json_lines import JsonLines

from .support.eventually import eventually
from .support.routes import sandbox_at
from .support.session_server import SessionServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .support.http_server import Exchange, SeenRequest


def line(members: Mapping[str, object]) -> str:
    return f"{json.dumps(members)}\n"


async def test_an_agent_tells_its_events_whatever_the_pieces() -> None:
    with SessionServer() as server:
        sandbox = await sandbox_at(server)
        events: list[AgentEvent] = []
        errors: list[str] = []
        agent = await sandbox.agent.start(
            "Write a poem",
            "some-model",
            max_turns=3,
            mcp_servers={"a": {"command": "b"}},
            on_event=events.append,
            on_error=errors.append,
        )
        told = f"{line({'type': 'ready'})}  \r\nno json\n{line({'type': 'assistant', 'text': 'ü'})}".encode()
        for byte in told:
            server.session.print(bytes([byte]))
        server.session.print("trouble\n", 2)
        server.session.print(line({"type": "turn_complete", "claude_session_id": None}).rstrip("\n"))
        server.session.exit(0)
        assert await agent.wait() == 0
        await eventually(lambda: len(events) == 3)
        assert [event.type for event in events] == ["ready", "assistant", "turn_complete"]
        assert (events[1]["text"], events[1].get("absent", 7)) == ("ü", 7)
        assert errors == ["non-JSON stdout: no json", "trouble\n"]
    assert server.seen[1].json == {
        "prompt": "Write a poem",
        "model": "some-model",
        "maxTurns": 3,
        "mcpServers": {"a": {"command": "b"}},
    }


async def test_prompts_need_not_be_awaited_and_keep_their_order() -> None:
    with SessionServer() as server:
        sandbox = await sandbox_at(server)
        agent = await sandbox.agent.attach("abcd1234")
        agent.send_prompt("one")  # pyright: ignore[reportUnusedCoroutine]
        agent.configure(max_turns=5)  # pyright: ignore[reportUnusedCoroutine]
        await agent.interrupt()
        told = [json.loads(text) for text in server.session.stdin.decode().splitlines()]
        assert told == [{"type": "prompt", "text": "one"}, {"type": "configure", "maxTurns": 5}, {"type": "interrupt"}]
        await agent.close()


async def test_an_agent_is_iterated_over_or_collected() -> None:
    with SessionServer() as server:
        server.session.print(line({"type": "ready"}) + line({"type": "result", "result": "3"}))
        server.session.exit(137)
        sandbox = await sandbox_at(server)
        async with await sandbox.agent.attach("abcd1234") as agent:
            assert await agent.collect_events() == [AgentEvent("ready"), AgentEvent("result", {"result": "3"})]
            assert await agent.done == 137


async def test_a_prompt_may_be_sent_from_a_callback() -> None:
    with SessionServer() as server:
        sandbox = await sandbox_at(server)

        async def go_on(event: AgentEvent) -> None:
            if event.type == "turn_complete":
                await agent.send_prompt("next")

        agent = await sandbox.agent.attach("abcd1234", go_on)
        server.session.print(line({"type": "turn_complete"}))
        await eventually(lambda: b'"next"' in server.session.stdin)
        await agent.close()


def test_a_line_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencomputer.json_lines._longest_line", 100)
    lines = JsonLines()
    found = [item for _ in range(50) for item in lines.push(b"x" * 10)]
    assert found == []
    assert list(lines.push(b'\n{"type": "after"}\n')) == ["a line of more than 100 characters", {"type": "after"}]


async def test_a_terminal() -> None:
    def handle(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.send(204)

    with SessionServer(handle=handle) as server:
        sandbox = await _sandbox(server)
        terminal = await sandbox.pty.create(120, 40, shell="/bin/sh", env={"A": "1"}, cwd="/tmp")
        assert (terminal.session_id, terminal.sandbox_id) == ("abcd1234", "sb-0a1b2c3d")
        await terminal.send("ls\n")
        assert server.session.stdin == b"ls\n"
        server.session.print("a b\r\n")
        assert await terminal.recv() == b"a b\r\n"
        with pytest.raises(TimeoutError, match="timeout"):
            await terminal.recv(0.05)
        server.session.print("$ ")
        assert await terminal.recv() == b"$ "
        await terminal.resize(100, 30)
        await terminal.kill()
        server.session.exit(129)
        assert await terminal.recv() == b""
        assert await terminal.wait() == 129
        again = await sandbox.pty.attach("abcd1234", cols=80, rows=24)
        assert b"".join([data async for data in again]) == b"a b\r\n$ "
    told = [(request.method, request.path.rpartition("sb-0a1b2c3d/")[2]) for request in server.seen]
    assert [call for call in told if call[0] != "GET"] == [
        ("POST", "pty"),
        ("POST", "pty/abcd1234/resize"),
        ("DELETE", "pty/abcd1234"),
        ("POST", "pty/abcd1234/resize"),
    ]
    assert server.seen[0].json == {"cols": 120, "rows": 40, "shell": "/bin/sh", "envs": {"A": "1"}, "cwd": "/tmp"}


async def _sandbox(server: SessionServer) -> Sandbox:
    from opencomputer.answers import Answer
    from opencomputer.config import resolve_connection
    from opencomputer.http import HttpClient

    return Sandbox(HttpClient(resolve_connection("osb_key", server.url)), Answer({"sandboxID": "sb-0a1b2c3d"}))

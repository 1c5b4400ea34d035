"""Whatever makes no sense fails before anything is sent, and names its parameter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from opencomputer import InvalidRequestError, Reconnect, RetentionPolicy, Sandbox

from .support.http_server import TestServer
from .support.routes import routed, sandbox_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

odd: Any = object()
creations: list[tuple[str, dict[str, Any]]] = [
    ("template", {"template": 1}),
    ("timeout", {"timeout": -1}),
    ("timeout", {"timeout": 1.5}),
    ("timeout", {"timeout": True}),
    ("envs", {"envs": ["A=1"]}),
    ("envs", {"envs": {"A": 1}}),
    ("envs", {"envs": {"A": "\ud800"}}),
    ("metadata", {"metadata": "x"}),
    ("cpu_count", {"cpu_count": 0}),
    ("memory_mb", {"memory_mb": "1024"}),
    ("disk_mb", {"disk_mb": -1}),
    ("request_timeout", {"request_timeout": float("nan")}),
    ("request_timeout", {"request_timeout": "1"}),
    ("reconnect", {"reconnect": True}),
    ("api_key", {"api_key": "osb key"}),
    ("api_url", {"api_url": "ftp://host"}),
    ("api_url", {"api_url": "http://"}),
    ("api_url", {"api_url": "http://user@host"}),
    ("api_url", {"api_url": "http://host/?a=b"}),
    ("api_url", {"api_url": "http://host:99999"}),
]


@pytest.mark.parametrize(("name", "options"), creations)
async def test_of_create(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=name) as caught:
        await Sandbox.create(**options)
    assert caught.value.code == "invalid_option"
    assert caught.value.hint


calls: list[tuple[str, Callable[[Sandbox], Awaitable[object]]]] = [
    ("command", lambda s: s.exec.run(odd)),
    ("timeout", lambda s: s.exec.run("true", timeout=-1)),
    ("env", lambda s: s.exec.run("true", env=odd)),
    ("cwd", lambda s: s.exec.run("true", cwd=odd)),
    ("wait_timeout", lambda s: s.exec.run("true", wait_timeout=-1)),
    ("request_timeout", lambda s: s.exec.run("true", request_timeout=-1)),
    ("id of a command", lambda s: s.exec.wait("../x")),
    ("args", lambda s: s.exec.start("ls", "-l")),
    (r"args\[0\]", lambda s: s.exec.start("ls", [odd])),
    ("on_stdout", lambda s: s.exec.start("ls", on_stdout=odd)),
    ("max_run_after_disconnect", lambda s: s.exec.start("ls", max_run_after_disconnect=-1)),
    ("offset", lambda s: s.exec.attach("abcd1234", offset=-1)),
    ("reconnect", lambda s: s.exec.attach("abcd1234", reconnect=odd)),
    ("id of a session", lambda s: s.exec.attach("../x")),
    ("signal", lambda s: s.exec.kill("abcd1234", 0)),
    ("cols", lambda s: s.pty.create(odd)),
    ("on_output", lambda s: s.pty.create(on_output=odd)),
    ("max_turns", lambda s: s.agent.start(max_turns=0)),
    ("mcp_servers", lambda s: s.agent.start(mcp_servers={"a": {"b": odd}})),
    ("path", lambda s: s.files.read(odd)),
    ("path", lambda s: s.files.read("\udc00")),
    ("content", lambda s: s.files.write("a", odd)),
    ("content", lambda s: s.files.write("a", Path("/does/not/exist"))),
    ("content", lambda s: s.files.write("a", Path("/"))),
    ("local_path", lambda s: s.files.download("a", odd)),
    ("path", lambda s: s.download_url(odd)),
    ("expires_in", lambda s: s.upload_url("a", expires_in=0)),
    ("timeout", lambda s: s.set_timeout(-1)),
    ("timeout", lambda s: s.wake(timeout=-1)),
    ("name", lambda s: s.create_checkpoint(odd)),
    ("retention_policy", lambda s: s.create_checkpoint("a", retention_policy=odd)),
    ("max_count", lambda s: s.create_checkpoint("a", retention_policy=RetentionPolicy("none", odd))),
    ("id of a checkpoint", lambda s: s.restore_checkpoint("a/b")),
    ("count", lambda s: s.fork(0)),
]


@pytest.mark.parametrize(("name", "call"), calls)
async def test_of_calls(name: str, call: Callable[[Sandbox], Awaitable[object]]) -> None:
    with TestServer(routed()) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(InvalidRequestError, match=name) as caught:
            await call(sandbox)
        assert caught.value.code == "invalid_option"
    assert len(server.seen) == 1


def test_of_reconnect() -> None:
    with pytest.raises(InvalidRequestError, match=r"reconnect\.timeout"):
        Reconnect(timeout=-1)


@pytest.mark.parametrize("sandbox_id", ["", "../x", "sb 1", 7])
async def test_of_connect(sandbox_id: Any) -> None:
    with pytest.raises(InvalidRequestError, match="id of a sandbox"):
        await Sandbox.connect(sandbox_id)

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from opencomputer import (
    ConnectionError,
    ExecTimeoutError,
    LimitError,
    NotFoundError,
    ProcessResult,
    SandboxStoppedError,
    ServerError,
)

from .support.connections import connections_tried
from .support.eventually import eventually
from .support.http_server import Exchange, SeenRequest, TestServer, free_port
from .support.routes import routed, sandbox_at

if TYPE_CHECKING:
    from collections.abc import Callable

started = (202, {"execId": "abcd1234", "running": True, "startedAt": "2026-01-02T03:04:05Z"})
running = {"running": True, "stdout": "", "stderr": ""}
ended = {"running": False, "exitCode": 3, "stdout": "out", "stderr": "err", "truncated": True}


def polled(poll: Callable[[int, Exchange], object]) -> Any:
    """Answers with a handle, and polls by their number from 1."""
    polls = 0

    def answer(_request: SeenRequest, exchange: Exchange) -> None:
        nonlocal polls
        polls += 1
        poll(polls, exchange)

    return routed(POST_exec_run_async=started, GET_exec_abcd1234_result=answer)


async def test_sends_a_line_of_shell_with_its_options() -> None:
    with TestServer(routed(POST_exec_run_async=(200, {"exitCode": 0, "stdout": "hi\n", "stderr": ""}))) as server:
        sandbox = await sandbox_at(server)
        assert await sandbox.exec.run("echo hi", 5, {"A": "1"}, "/tmp") == ProcessResult(0, "hi\n", "", False)
        assert sandbox.commands is sandbox.exec
        await sandbox.commands.run("true")
    assert [request.json for request in server.seen[1:]] == [
        {"cmd": "sh", "args": ["-c", "echo hi"], "envs": {"A": "1"}, "cwd": "/tmp", "timeout": 5},
        {"cmd": "sh", "args": ["-c", "true"], "timeout": 60},
    ]


async def test_polls_a_command_that_takes_longer_without_hammering_a_server_that_does_not_hold_polls() -> None:
    with TestServer(polled(lambda n, exchange: exchange.send_json(200, running if n < 3 else ended))) as server:
        sandbox = await sandbox_at(server)
        before = time.monotonic()
        assert await sandbox.exec.run("sleep 1") == ProcessResult(3, "out", "err", True)
        assert time.monotonic() - before >= 0.2
    assert len(server.seen) == 5


async def test_survives_a_server_that_is_restarted_in_the_middle() -> None:
    with TestServer(polled(lambda _, exchange: exchange.send_json(200, running))) as server:
        sandbox = await sandbox_at(server)
        pending = asyncio.create_task(sandbox.exec.run("sleep 5"))
        await eventually(lambda: len(server.seen) > 2)
    before = connections_tried()
    await eventually(lambda: connections_tried() > before + 2)

    # Answers of a proxy and of a server that is not ready.
    def again(_request: SeenRequest, exchange: Exchange) -> None:
        answers = len(second.seen)
        if answers == 1:
            exchange.send(502, b"bad gateway")
        elif answers == 2:
            exchange.send_json(503, {"error": "away", "code": "worker_unavailable"})
        elif answers == 3:
            exchange.hang_up()
        else:
            exchange.send_json(200, ended)

    with TestServer(again, port=server.port) as second:
        assert (await pending).exit_code == 3
        assert len(second.seen) == 4


@pytest.mark.parametrize(
    ("status", "code", "kind"), [(410, "sandbox_stopped", SandboxStoppedError), (404, "exec_not_found", NotFoundError)]
)
async def test_stops_polling_when_there_is_nothing_to_wait_for(status: int, code: str, kind: type[Exception]) -> None:
    with TestServer(polled(lambda _, exchange: exchange.send_json(status, {"error": "x", "code": code}))) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(kind):
            await sandbox.exec.run("true")
    assert len(server.seen) == 3


async def test_wait_timeout_leaves_the_command_and_tells_its_id() -> None:
    with TestServer(polled(lambda n, exchange: exchange.send_json(200, running if n < 6 else ended))) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(ExecTimeoutError, match=r"wait_timeout \(0\.2 s\) has passed") as caught:
            await sandbox.exec.run("sleep 60", wait_timeout=0.2)
        assert caught.value.exec_id == "abcd1234"
        assert isinstance(caught.value, TimeoutError)
        assert (await sandbox.exec.wait("abcd1234")).exit_code == 3


async def test_a_start_that_hangs_ends_with_wait_timeout_too() -> None:
    def hang(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.rfile.read(1)

    with TestServer(routed(POST_exec_run_async=hang)) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(ExecTimeoutError, match="may have happened") as caught:
            await sandbox.exec.run("true", wait_timeout=0.1)
    assert caught.value.exec_id is None


async def test_a_cancelled_run_stops_polling() -> None:
    with TestServer(polled(lambda _, exchange: exchange.send_json(200, running))) as server:
        sandbox = await sandbox_at(server)
        pending = asyncio.create_task(sandbox.exec.run("sleep 60"))
        await eventually(lambda: len(server.seen) > 3)
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending
        assert await sandbox.is_running()


async def test_what_could_not_be_carried_out_is_an_error() -> None:
    failed = {"running": False, "error": "the sandbox did not wake", "exitCode": -1, "stdout": "", "stderr": ""}
    with TestServer(polled(lambda _, exchange: exchange.send_json(200, failed))) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(ServerError, match="the sandbox did not wake") as caught:
            await sandbox.exec.run("true")
    assert caught.value.code == "exec_failed"


async def test_a_start_is_never_sent_twice() -> None:
    def cut(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.hang_up()

    with TestServer(routed(POST_exec_run_async=cut)) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(ConnectionError):
            await sandbox.exec.run("make deploy")
    assert len(server.seen) == 2


async def test_lists_and_ends_commands() -> None:
    listed = [
        {
            "sessionID": "abcd1234",
            "sandboxID": "sb-0a1b2c3d",
            "command": "make",
            "args": None,
            "running": False,
            "exitCode": 2,
            "startedAt": "2026-01-02T03:04:05.123456789Z",
            "attachedClients": 1,
        }
    ]
    with TestServer(routed(GET_exec=(200, listed), POST_exec_abcd1234_kill=(200, {}), GET_pty=(200, None))) as server:
        sandbox = await sandbox_at(server)
        [info] = await sandbox.exec.list()
        assert (info.session_id, info.command, info.args, info.exit_code) == ("abcd1234", "make", (), 2)
        assert info.started_at is not None
        assert info.started_at.microsecond == 123456
        assert await sandbox.pty.list() == []
        await sandbox.exec.kill(info.session_id, 15)
    assert server.seen[-1].json == {"signal": 15}


async def test_too_many_commands_is_a_limit() -> None:
    refusal = (429, {"error": "too many commands run", "code": "too_many_commands", "limit": 100})
    with TestServer(routed(POST_exec_run_async=refusal)) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(LimitError) as caught:
            await sandbox.exec.run("true")
    assert caught.value.details == {"limit": 100}


async def test_a_server_that_stays_away_is_an_error_that_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencomputer.run._server_absence", 0.3)
    with TestServer(polled(lambda _, exchange: exchange.send_json(200, running))) as server:
        sandbox = await sandbox_at(server)
        pending = asyncio.create_task(sandbox.exec.run("sleep 60"))
        await eventually(lambda: len(server.seen) > 2)
    with pytest.raises(ConnectionError, match="abcd1234") as caught:
        await pending
    assert caught.value.details == {"execId": "abcd1234"}
    assert free_port() != 0

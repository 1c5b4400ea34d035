from __future__ import annotations

import asyncio
import time

import pytest

from opencomputer import (
    AuthenticationError,
    ConnectionError,
    InvalidRequestError,
    OpenComputerError,
    Sandbox,
    ServerError,
    TimeoutError,
)

from .support.connections import connections_tried
from .support.eventually import eventually
from .support.http_server import Exchange, SeenRequest, TestServer, always, free_port, wire_sandbox
from .support.routes import routed, sandbox_at


async def test_carries_key_path_and_json() -> None:
    with TestServer(always(201, wire_sandbox)) as server:
        sandbox = await Sandbox.create("base", 60, "osb_key", f"{server.url}/", {"A": "é"}, {"p": "x"}, cpu_count=2)
        assert sandbox.sandbox_id == sandbox.id == "sb-0a1b2c3d"
    [request] = server.seen
    assert (request.method, request.path, request.headers["x-api-key"]) == ("POST", "/api/sandboxes", "osb_key")
    expected = {"templateID": "base", "timeout": 60, "envs": {"A": "é"}, "metadata": {"p": "x"}, "cpuCount": 2}
    assert request.json == expected


async def test_takes_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with TestServer(always(201, wire_sandbox)) as server:
        monkeypatch.setenv("OPENCOMPUTER_API_URL", f"{server.url}/api")
        monkeypatch.setenv("OPENCOMPUTER_API_KEY", " osb_environment ")
        await Sandbox.create()
        await Sandbox.create(api_key="osb_argument")
    assert [request.headers["x-api-key"] for request in server.seen] == ["osb_environment", "osb_argument"]
    assert server.seen[0].json == {"templateID": "base", "timeout": 300}


async def test_sends_no_key_when_there_is_none() -> None:
    with TestServer(always(201, wire_sandbox)) as server:
        await Sandbox.create(api_url=server.url)
    assert "x-api-key" not in server.seen[0].headers


async def test_does_not_follow_a_redirect_with_the_key() -> None:
    with TestServer(always(200, wire_sandbox)) as other:

        def redirect(_request: SeenRequest, exchange: Exchange) -> None:
            exchange.send(307, headers={"Location": other.url})

        with TestServer(redirect) as server, pytest.raises(InvalidRequestError, match="redirects to") as caught:
            await Sandbox.connect("sb-1", "osb_key", server.url)
    assert caught.value.status == 307
    assert "api_url" in caught.value.hint
    assert other.seen == []


async def test_reads_json_after_white_space() -> None:
    with TestServer(lambda _, exchange: exchange.send(200, b'   \n {"sandboxID": "sb-1"}')) as server:
        assert (await Sandbox.connect("sb-1", api_url=server.url)).status == "running"


@pytest.mark.parametrize("body", [b"<html>proxy</html>", b"", b"3", b"[1]", b'{"status": "running"}', b"[" * 200_000])
async def test_an_answer_of_something_else_is_an_error(body: bytes) -> None:
    with TestServer(lambda _, exchange: exchange.send(200, body)) as server, pytest.raises(ServerError) as caught:
        await Sandbox.connect("sb-1", api_url=server.url)
    assert caught.value.code == "unexpected_answer"
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("field", ["status", "cpuCount", "startedAt", "metadata", "emulated"])
async def test_a_field_of_another_type_is_named(field: str) -> None:
    with TestServer(always(200, {**wire_sandbox, field: [1]})) as server, pytest.raises(ServerError, match=field):
        await Sandbox.connect("sb-1", api_url=server.url)


async def test_fifty_at_once_all_succeed_and_later_ones_reuse_their_connections() -> None:
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    waiting: list[int] = []

    def handle(_request: SeenRequest, exchange: Exchange) -> None:
        waiting.append(1)
        if len(waiting) == 50:
            loop.call_soon_threadsafe(gate.set)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        exchange.send_json(201, wire_sandbox)

    with TestServer(handle) as server:
        made = await asyncio.gather(*(Sandbox.create(api_url=server.url) for _ in range(50)))
        assert len(made) == 50
        assert server.connections == 50
        await asyncio.gather(*(sandbox.is_running() for sandbox in made))
        # A slow host may let a few of them expire in between.
        assert server.connections < 100


async def test_a_server_that_does_not_answer_is_a_timeout_that_names_the_parameter() -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def handle(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.rfile.read(1)
        loop.call_soon_threadsafe(done.set)

    with TestServer(handle) as server:
        with pytest.raises(TimeoutError, match=r"no answer after 0\.2 s.*request_timeout") as caught:
            await Sandbox.create(api_url=server.url, request_timeout=0.2)
        assert caught.value.code == "request_timeout"
        # The request has been ended, too.
        await asyncio.wait_for(done.wait(), 30)


async def test_an_answer_that_stops_in_the_middle_is_a_timeout_too() -> None:
    def handle(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        exchange.rfile.read(1)

    with TestServer(handle) as server, pytest.raises(TimeoutError):
        await Sandbox.connect("sb-1", api_url=server.url, request_timeout=0.2)


async def test_the_limit_of_the_call_wins_and_0_means_none() -> None:
    def handle(request: SeenRequest, exchange: Exchange) -> None:
        if len(server.seen) > 1:
            # Real time: longer than the limit of the client.
            time.sleep(0.3)
        exchange.send_json(200, wire_sandbox)

    with TestServer(handle) as server:
        sandbox = await Sandbox.connect("sb-1", api_url=server.url, request_timeout=0.1)
        assert await sandbox.is_running(request_timeout=0)
        assert await sandbox.is_running(request_timeout=30)
        with pytest.raises(TimeoutError):
            await sandbox.is_running()


async def test_cancellation_ends_the_request_and_leaves_the_client_usable() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.rfile.read(1)
        loop.call_soon_threadsafe(ended.set)

    with TestServer(routed(POST_hibernate=hang)) as server:
        sandbox = await sandbox_at(server)
        call = asyncio.create_task(sandbox.hibernate())
        await eventually(lambda: len(server.seen) == 2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(ended.wait(), 30)
        assert await sandbox.is_running()


async def test_wait_for_of_the_caller_is_not_taken_for_a_limit_of_ours() -> None:
    def hang(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.rfile.read(1)

    with TestServer(routed(POST_hibernate=hang)) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(asyncio.TimeoutError) as caught:
            await asyncio.wait_for(sandbox.hibernate(request_timeout=30), 0.1)
        assert not isinstance(caught.value, OpenComputerError)
        assert await sandbox.is_running()


async def test_get_and_delete_come_back_after_503_with_retry_after() -> None:
    def handle(_request: SeenRequest, exchange: Exchange) -> None:
        if len(server.seen) % 2:
            exchange.send_json(503, {"error": "away", "code": "worker_unavailable"}, {"Retry-After": "0"})
        else:
            exchange.send_json(200, wire_sandbox)

    with TestServer(handle) as server:
        sandbox = await Sandbox.connect("sb-1", api_url=server.url)
        await sandbox.kill()
        assert [request.method for request in server.seen] == ["GET", "GET", "DELETE", "DELETE"]
        with pytest.raises(ServerError):
            await sandbox.hibernate()
    assert len(server.seen) == 5


async def test_they_end_after_three_attempts() -> None:
    away = always(503, {"error": "away", "code": "worker_unavailable"}, {"Retry-After": "0"})
    with TestServer(away) as server, pytest.raises(ServerError, match="away"):
        await Sandbox.connect("sb-1", api_url=server.url)
    assert len(server.seen) == 3


async def test_a_long_retry_after_is_left_to_the_caller() -> None:
    with TestServer(always(503, {"error": "away"}, {"Retry-After": "120"})) as server:
        with pytest.raises(ServerError) as caught:
            await Sandbox.connect("sb-1", api_url=server.url)
    assert caught.value.retry_after == 120
    assert len(server.seen) == 1


async def test_a_get_whose_connection_broke_is_sent_again_and_a_post_is_not() -> None:
    def handle(request: SeenRequest, exchange: Exchange) -> None:
        if request.method == "POST" or len(server.seen) == 1:
            exchange.hang_up()
        else:
            exchange.send_json(200, wire_sandbox)

    with TestServer(handle) as server:
        sandbox = await Sandbox.connect("sb-1", api_url=server.url)
        with pytest.raises(ConnectionError, match="may have been carried out") as caught:
            await sandbox.hibernate()
    assert caught.value.request_sent
    assert caught.value.code == "connection_lost"
    assert [request.method for request in server.seen] == ["GET", "GET", "POST"]


async def test_a_post_waits_for_a_server_that_is_just_starting() -> None:
    port = free_port()
    before = connections_tried()
    creation = asyncio.create_task(Sandbox.create(api_url=f"http://127.0.0.1:{port}"))
    await eventually(lambda: connections_tried() > before)
    with TestServer(always(201, wire_sandbox), port=port):
        assert (await creation).sandbox_id == "sb-0a1b2c3d"


async def test_nobody_there_says_what_was_dialled_and_what_to_do() -> None:
    port = free_port()
    with pytest.raises(ConnectionError, match=f"cannot connect to http://127.0.0.1:{port}") as caught:
        await Sandbox.create(api_url=f"http://127.0.0.1:{port}")
    assert not caught.value.request_sent
    assert "Start the server" in caught.value.hint
    assert isinstance(caught.value, OSError)


async def test_errors_carry_what_the_server_told() -> None:
    body = {"error": "missing API key.", "code": "unauthorized", "hint": "of the server", "limit": 4}
    with TestServer(always(401, body, {"X-Request-Id": "r-1"})) as server:
        with pytest.raises(AuthenticationError) as caught:
            await Sandbox.connect("sb-1", api_url=server.url)
    error = caught.value
    assert (error.code, error.status, error.request_id, error.details) == ("unauthorized", 401, "r-1", {"limit": 4})
    assert str(error).startswith("missing API key. Pass api_key or set OPENCOMPUTER_API_KEY")
    assert str(error).endswith("[HTTP 401, request r-1]")


def test_one_sandbox_serves_several_event_loops() -> None:
    with TestServer(routed()) as server:
        sandbox = asyncio.run(sandbox_at(server))
        for _ in range(3):
            assert asyncio.run(_ask_and_close(sandbox))


async def _ask_and_close(sandbox: Sandbox) -> bool:
    try:
        return await sandbox.is_running()
    finally:
        await sandbox.close()

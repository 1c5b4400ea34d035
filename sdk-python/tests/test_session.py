from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from opencomputer import (
    ConflictError,
    ConnectionError,
    ExecSession,
    InvalidRequestError,
    LimitError,
    NotFoundError,
    OpenComputerError,
    Reconnect,
    ServerError,
    TimeoutError,
)

from .support.connections import connections_tried
from .support.eventually import eventually
from .support.http_server import Exchange, SeenRequest, free_port
from .support.recorder import Recorder
from .support.routes import sandbox_at
from .support.session_server import SessionServer

if TYPE_CHECKING:
    from .support.session_server import WebSocket

MiB = 1024 * 1024


async def attach(server: SessionServer, seen: Recorder | None = None, **options: Any) -> ExecSession:
    sandbox = await sandbox_at(server)
    return await sandbox.exec.attach("abcd1234", **(seen.callbacks() if seen else {}), **options)


async def test_replays_goes_on_live_and_ends_with_the_exit_code() -> None:
    with SessionServer() as server:
        server.session.print("before ")
        seen = Recorder()
        session = await attach(server, seen)
        server.session.print("oops", 2)
        server.session.print("after")
        server.session.exit(7)
        assert await session.wait() == await session.done == 7
        assert (seen.stdout, seen.stderr) == ("before after", "oops")
        await eventually(lambda: seen.events == ["end of scrollback", "exit 7"])
        assert session.offset == len("before oopsafter")
        assert (session.session_id, session.sandbox_id) == ("abcd1234", "sb-0a1b2c3d")


async def test_tells_of_hibernation_and_wake() -> None:
    with SessionServer() as server:
        seen = Recorder()
        session = await attach(server, seen)
        server.session.power(awake=False)
        server.session.power(awake=True)
        server.session.exit(0)
        assert await session.wait() == 0
        await eventually(lambda: seen.events == ["end of scrollback", "hibernates", "wakes", "exit 0"])


async def test_says_who_it_is_in_a_header_not_in_the_url() -> None:
    with SessionServer() as server:
        await (await attach(server)).close()
    [request] = server.attaches
    assert request.path == "/api/sandboxes/sb-0a1b2c3d/exec/abcd1234"
    assert request.headers["x-api-key"] == "osb_key"
    assert sorted(request.query) == ["client", "from"]


async def test_output_that_comes_at_once_waits_for_the_caller() -> None:
    with SessionServer() as server:
        server.session.print("at once")
        server.session.exit(0)
        session: ExecSession | None = None
        seen: list[bool] = []
        sandbox = await sandbox_at(server)
        session = await sandbox.exec.attach("abcd1234", lambda _: seen.append(session is not None))
        await session.wait()
        assert seen == [True]


async def test_a_connection_that_is_cut_comes_back_with_nothing_lost_or_doubled_both_ways() -> None:
    with SessionServer() as server:
        seen = Recorder()
        session = await attach(server, seen)
        printed = fed = ""
        sent: list[asyncio.Task[None]] = []
        for cut in range(5):
            for line in range(20):
                text = f"{cut}.{line}\n"
                printed += text
                server.session.print(text)
                fed += text
                sent.append(asyncio.create_task(session.send_stdin(text)))
            # A connection that is cut before the client knows of it is no loss to it, but an attempt that failed.
            await eventually(lambda back=cut: seen.events.count("reconnected") == back)
            await eventually(lambda: server.session.attached == 1)
            server.session.cut()
            server.session.print(f"while away {cut}\n")
            printed += f"while away {cut}\n"
            losses = cut + 1
            await eventually(lambda losses=losses: seen.events.count("disconnected") == losses)
        sent.append(asyncio.create_task(session.close_stdin()))
        await asyncio.gather(*sent)
        await eventually(lambda: len(seen.stdout) == len(printed))
        await eventually(lambda: server.session.stdin_ends > 0)
        server.session.exit(0)
        await session.wait()
        assert seen.stdout == printed
        assert server.session.stdin.decode() == fed
        assert seen.events.count("end of scrollback") == 1
        assert not [event for event in seen.events if event.startswith("gap")]
        assert len({request.query["client"][0] for request in server.attaches}) == 1


async def test_input_that_was_on_its_way_when_the_connection_broke_is_sent_again_once() -> None:
    with SessionServer() as server:
        session = await attach(server)
        await session.send_stdin("taken ")
        server.session.reads = False
        pending = asyncio.create_task(session.send_stdin("lost on the way"))
        server.session.print("sync")
        await eventually(lambda: session.offset == 4)
        server.session.cut()
        server.session.reads = True
        await pending
        assert server.session.stdin == b"taken lost on the way"
        await session.close()


async def test_a_server_that_restarts_is_waited_for() -> None:
    seen = Recorder()
    with SessionServer() as first:
        session = await attach(first, seen)
        first.session.print("one ")
        await eventually(lambda: seen.stdout == "one ")
    first.session.print("two ")
    await eventually(lambda: "disconnected" in seen.events)
    with SessionServer(port=first.port, session=first.session) as again:
        again.session.print("three")
        await eventually(lambda: seen.stdout == "one two three")
        again.session.exit(0)
        assert await session.wait() == 0
    assert "reconnected" in seen.events


async def test_a_gap_is_told_where_it_is() -> None:
    with SessionServer() as server:
        seen = Recorder()
        session = await attach(server, seen)
        server.session.print("abc")
        await eventually(lambda: seen.stdout == "abc")
        server.session.cut()
        server.session.print("0123456789")
        server.session.forget(8)
        await eventually(lambda: seen.stdout == "abc56789")
        assert "gap 5" in seen.events
        assert session.offset == 13
        await session.close()


async def test_iterates_the_output_in_order() -> None:
    with SessionServer() as server:
        server.session.print("a")
        session = await attach(server)
        server.session.print("b", 2)
        server.session.print("c")
        server.session.exit(0)
        await session.wait()
        assert [(piece.stream, piece.data) async for piece in session] == [
            ("stdout", b"a"),
            ("stderr", b"b"),
            ("stdout", b"c"),
        ]


@pytest.mark.parametrize(
    ("status", "code", "kind"), [(404, "exec_not_found", NotFoundError), (410, "sandbox_stopped", OpenComputerError)]
)
async def test_a_refusal_is_told_as_what_it_is(status: int, code: str, kind: type[Exception]) -> None:
    with SessionServer(refuse=lambda _: (status, {"error": "no", "code": code})) as server:
        with pytest.raises(kind) as caught:
            await attach(server)
    assert isinstance(caught.value, OpenComputerError)
    assert (caught.value.code, caught.value.status) == (code, status)


async def test_what_had_started_is_named_when_there_is_no_way_to_it() -> None:
    with SessionServer(refuse=lambda _: (400, {"error": "no upgrades here"})) as server:
        sandbox = await sandbox_at(server)
        for start in (sandbox.exec.start("x"), sandbox.pty.create(), sandbox.agent.start()):
            with pytest.raises(InvalidRequestError, match="no upgrades here") as caught:
                await start
            assert caught.value.details["sessionId"] == "abcd1234"


async def test_close_lets_go_of_the_command() -> None:
    with SessionServer() as server:
        seen = Recorder()
        session = await attach(server, seen)
        await session.close()
        await session.close()
        assert await session.wait() == -1
        await eventually(lambda: server.session.attached == 0)
        server.session.print("unheard")
        await eventually(lambda: seen.events == ["exit -1"])
        with pytest.raises(ConflictError) as caught:
            await session.send_stdin("x")
        assert caught.value.code == "session_ended"


async def test_the_end_of_the_block_lets_go_too() -> None:
    with SessionServer() as server:
        async with await attach(server):
            await eventually(lambda: server.session.attached == 1)
        await eventually(lambda: server.session.attached == 0)


async def test_text_empty_messages_and_unknown_frames_are_ignored() -> None:
    def serve(socket: WebSocket, _attempt: int) -> bool:
        socket.send_text("text")
        for message in (b"", b"\x63\x01\x02", b"\x01", b"\x04", b"\x01out", b"\x03\x00\x00\x00\x05"):
            socket.send(message)
        return not list(socket.messages())

    with SessionServer(serve=serve) as server:
        seen = Recorder()
        session = await attach(server, seen)
        assert await session.wait() == 5
        assert seen.stdout == "out"


@pytest.mark.parametrize("frame", [b"\x06\x01\x02", b"\x07" + b"\xff" * 8, b"\x05"])
async def test_a_frame_that_breaks_the_protocol_is_an_error_at_once(frame: bytes) -> None:
    def serve(socket: WebSocket, _attempt: int) -> bool:
        socket.send(frame)
        return not list(socket.messages())

    with SessionServer(serve=serve) as server:
        session = await attach(server)
        with pytest.raises(ServerError, match="broken frame") as caught:
            await session.wait()
        assert caught.value.code == "unexpected_answer"


async def test_a_message_without_end_is_an_error_and_not_read_to_it() -> None:
    def serve(socket: WebSocket, _attempt: int) -> bool:
        socket.send(b"\x01" + bytes(3 * MiB))
        return not list(socket.messages())

    with SessionServer(serve=serve) as server:
        with pytest.raises(ServerError, match="exceeds limit"):
            await attach(server)
    assert len(server.attaches) == 1


async def test_a_server_that_tells_no_offsets_is_used_while_it_lasts() -> None:
    def serve(socket: WebSocket, _attempt: int) -> bool:
        socket.send(b"\x04")
        for message in socket.messages():
            socket.send(b"\x01" + message[1:])
            if message[1:] == b"bye":
                socket.close(1011, "it broke")
        return True

    with SessionServer(serve=serve) as server:
        seen = Recorder()
        session = await attach(server, seen)
        await session.send_stdin("hello ")
        await session.send_stdin("bye")
        with pytest.raises(ConnectionError, match="1011: it broke"):
            await session.wait()
        assert seen.stdout == "hello bye"
        await eventually(lambda: seen.events == ["end of scrollback", "exit -1"])


async def test_one_that_ends_every_connection_is_given_up_after_the_time_that_was_set() -> None:
    def serve(socket: WebSocket, attempt: int) -> bool:
        if attempt > 1:
            socket.close(1012, "restarting")
            return not list(socket.messages())
        return False

    with SessionServer(serve=serve) as server:
        session = await attach(server, reconnect=Reconnect(timeout=0.5, max_delay=0.05))
        server.session.cut()
        with pytest.raises(ConnectionError, match=r"no connection to session abcd1234 for 0\.5 s") as caught:
            await session.wait()
        assert caught.value.details == {"sessionId": "abcd1234", "offset": 0}
        assert len(server.attaches) > 3
        with pytest.raises(ConnectionError):
            await session.send_stdin("x")


async def test_a_server_that_dies_for_good_is_an_error_not_a_hang() -> None:
    with SessionServer() as server:
        session = await attach(server, reconnect=Reconnect(timeout=0.3))
        pending = asyncio.create_task(session.send_stdin(b"x"))
        await pending
        pieces = asyncio.create_task(_collect(session))
    for waiting in (session.wait(), pieces):
        with pytest.raises(ConnectionError, match="no connection to session"):
            await waiting


async def _collect(session: ExecSession) -> list[bytes]:
    return [piece.data async for piece in session]


async def test_a_session_that_is_gone_after_a_loss_is_a_typed_error() -> None:
    refusal = (404, {"error": "the sandbox was restored", "code": "exec_not_found"})
    with SessionServer(refuse=lambda attempt: refusal if attempt > 1 else None) as server:
        session = await attach(server)
        server.session.cut()
        with pytest.raises(NotFoundError, match="the sandbox was restored"):
            await session.wait()


async def test_what_the_server_refuses_is_not_sent_again() -> None:
    def serve(socket: WebSocket, _attempt: int) -> bool:
        socket.send_count(6, 0)
        socket.send(b"\x04")
        for _ in socket.messages():
            socket.close(1008, "the session takes no input")
        return True

    with SessionServer(serve=serve) as server:
        session = await attach(server)
        with pytest.raises(InvalidRequestError, match="takes no input"):
            await session.send_stdin("x")
        with pytest.raises(InvalidRequestError, match="takes no input"):
            await session.wait()
        assert len(server.attaches) == 1


async def test_one_that_does_not_wait_for_a_slow_reader_is_gone_back_to() -> None:
    with SessionServer() as server:
        seen = Recorder()
        session = await attach(server, seen)
        await eventually(lambda: server.session.attached == 1)
        server.session.close(1008, "the client has read nothing for 60 s")
        server.session.print("more")
        await eventually(lambda: seen.stdout == "more")
        await session.close()


async def test_reconnect_false_a_loss_is_the_end() -> None:
    with SessionServer() as server:
        session = await attach(server, reconnect=False)
        await eventually(lambda: server.session.attached == 1)
        server.session.cut()
        with pytest.raises(ConnectionError):
            await session.wait()
        assert len(server.attaches) == 1


async def test_one_that_lets_in_and_says_nothing_runs_into_the_time_limit() -> None:
    with SessionServer(serve=lambda socket, _: not list(socket.messages())) as server:
        with pytest.raises(TimeoutError, match="request_timeout"):
            await attach(server, request_timeout=0.2)


async def test_nobody_there_is_a_connection_error() -> None:
    with SessionServer() as server:
        sandbox = await sandbox_at(server)
    with pytest.raises(ConnectionError) as caught:
        await sandbox.exec.attach("abcd1234")
    assert caught.value.code == "connection_failed"
    assert not caught.value.request_sent


async def test_a_wait_that_is_cancelled_or_too_long_leaves_the_session_usable() -> None:
    with SessionServer() as server:
        session = await attach(server)
        with pytest.raises(TimeoutError, match=r"timeout \(0\.05 s\) has passed"):
            await session.wait(0.05)
        for waiting in (session.wait(), session.done):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(waiting, 0.05)
        server.session.reads = False
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(session.send_stdin("kept"), 0.05)
        server.session.read_on()
        await session.send_stdin("!")
        assert server.session.stdin == b"kept!"
        server.session.exit(4)
        assert await session.wait() == 4


async def test_an_attachment_that_is_cancelled_closes_its_socket() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def serve(socket: WebSocket, _attempt: int) -> bool:
        assert not list(socket.messages())
        loop.call_soon_threadsafe(ended.set)
        return True

    with SessionServer(serve=serve) as server:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(attach(server), 0.2)
        await asyncio.wait_for(ended.wait(), 30)


async def test_who_leaves_the_loop_hears_nothing_more_and_the_command_is_not_held_back() -> None:
    with SessionServer() as server:
        session = await attach(server)
        server.session.print("x")
        async for piece in session:
            assert piece.data == b"x"
            break
        for _ in range(64):
            server.session.print(bytes(64 * 1024))
        server.session.exit(0)
        assert await session.wait() == 0


async def test_a_slow_reader_makes_the_server_wait_and_gets_everything() -> None:
    with SessionServer() as server:
        session = await attach(server)
        pieces, size = 256, 64 * 1024
        for number in range(pieces):
            server.session.print(bytes([number]) * size)
        taken = 0
        async for piece in session:
            assert piece.data[0] == taken % 256
            taken += 1
            # What has been taken off the network but not been read stays small.
            assert session.offset - taken * size < 4 * MiB
            if taken % 16 == 0:
                # Real time: what makes it slow.
                await asyncio.sleep(0.005)
            if taken == pieces:
                server.session.exit(0)
        assert taken == pieces


async def test_a_slow_callback_makes_the_server_wait_too() -> None:
    with SessionServer() as server:
        behind: list[int] = []

        async def slow(data: bytes) -> None:
            nonlocal heard
            heard += len(data)
            # Real time: what makes it slow.
            await asyncio.sleep(0.001)
            behind.append(session.offset - heard)

        heard = 0
        sandbox = await sandbox_at(server)
        session = await sandbox.exec.attach("abcd1234", slow)
        for _ in range(128):
            server.session.print(bytes(64 * 1024))
        server.session.exit(0)
        assert await session.wait() == 0
        assert heard == 8 * MiB
        assert max(behind) < 4 * MiB


async def test_who_iterates_late_has_the_newest_output_and_hears_of_the_rest() -> None:
    with SessionServer() as server:
        missing: list[int] = []
        sandbox = await sandbox_at(server)
        session = await sandbox.exec.attach("abcd1234", on_gap=missing.append)
        for _ in range(32):
            server.session.print(bytes(64 * 1024))
        server.session.exit(0)
        await session.wait()
        assert sum([len(piece.data) async for piece in session]) == MiB
        assert missing == [MiB]


async def test_input_cannot_pile_up_without_end() -> None:
    with SessionServer() as server:
        server.session.reads = False
        session = await attach(server)
        sent = [asyncio.create_task(session.send_stdin(bytes(4 * MiB))) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(LimitError, match="16777216 bytes"):
            await session.send_stdin("one too many")
        await session.close()
        for outcome in await asyncio.gather(*sent, return_exceptions=True):
            assert isinstance(outcome, ConflictError)


async def test_a_lot_of_input_arrives_in_order() -> None:
    with SessionServer() as server:
        session = await attach(server)
        sent = [bytes([number]) * 200_000 for number in range(40)]
        for data in sent:
            await session.send_stdin(data)
        assert server.session.stdin == b"".join(sent)
        await session.close()


async def test_a_callback_that_raises_stops_nothing_and_is_reported() -> None:
    reported: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    failure = ValueError("of the caller")

    def fail(_data: bytes) -> None:
        raise failure

    with SessionServer() as server:
        sandbox = await sandbox_at(server)
        session = await sandbox.exec.attach("abcd1234", fail)
        server.session.print("a")
        server.session.exit(3)
        assert await session.wait() == 3
    assert reported == [failure]


async def test_start_sends_its_options() -> None:
    with SessionServer() as server:
        sandbox = await sandbox_at(server)
        session = await sandbox.exec.start("make", ("-j4",), {"A": "1"}, "/app", timeout=60, max_run_after_disconnect=5)
        await session.kill()
        await session.close()
    starts = [request for request in server.seen if request.method == "POST"]
    assert [(request.path.rpartition("sb-0a1b2c3d/")[2], request.json) for request in starts] == [
        (
            "exec",
            {
                "cmd": "make",
                "args": ["-j4"],
                "envs": {"A": "1"},
                "cwd": "/app",
                "timeout": 60,
                "maxRunAfterDisconnect": 5,
            },
        ),
        ("exec/abcd1234/kill", {"signal": 9}),
    ]


async def test_a_server_that_only_comes_up_later_is_waited_for_shortly() -> None:
    port = free_port()

    def nothing(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.send_json(200, [])

    with SessionServer() as server:
        sandbox = await sandbox_at(server)
        port = server.port
    before = connections_tried()
    attaching = asyncio.create_task(sandbox.exec.attach("abcd1234"))
    await eventually(lambda: connections_tried() > before)
    with SessionServer(port=port, handle=nothing):
        await (await attaching).close()

from __future__ import annotations

import asyncio
import io
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from opencomputer import (
    ConnectionError,
    FileNotFoundError,
    InvalidRequestError,
    SandboxNotFoundError,
    SandboxStoppedError,
    TimeoutError,
)

from .support.eventually import eventually, standstill
from .support.http_server import Exchange, SeenRequest, TestServer
from .support.routes import routed, sandbox_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

MiB = 1024 * 1024
every_byte = bytes(range(256))
missing = (404, {"error": "no such file", "code": "file_not_found"})


def done(_request: SeenRequest, exchange: Exchange) -> None:
    exchange.send(204)


async def _mixed() -> AsyncIterator[bytes | str]:
    yield "a"
    yield b""
    yield every_byte


def _generator() -> Iterator[bytes]:
    yield from (b"a", b"", every_byte)


contents: list[tuple[str, Callable[[Path], Any], bytes]] = [
    ("text", lambda _: "grüße\n", "grüße\n".encode()),
    ("empty text", lambda _: "", b""),
    ("bytes", lambda _: every_byte, every_byte),
    ("a view", lambda _: memoryview(every_byte)[10:20], every_byte[10:20]),
    ("a bytearray", lambda _: bytearray(every_byte), every_byte),
    ("many bytes", lambda _: bytes([7]) * (MiB + 1), bytes([7]) * (MiB + 1)),
    ("a path", lambda path: path, every_byte),
    ("an open file", lambda path: path.open("rb"), every_byte),
    ("a file in memory", lambda _: io.BytesIO(every_byte), every_byte),
    ("an async iterable", lambda _: _mixed(), b"a" + every_byte),
    ("a generator", lambda _: _generator(), b"a" + every_byte),
    ("a list", lambda _: ["a", every_byte], b"a" + every_byte),
]


@pytest.mark.parametrize(("content", "expected"), [content[1:] for content in contents], ids=[c[0] for c in contents])
async def test_write_sends_it_as_it_is(content: Callable[[Path], Any], expected: bytes, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(every_byte)
    value = content(local)
    with TestServer(routed(PUT_files=done)) as server:
        sandbox = await sandbox_at(server)
        await sandbox.files.write("/a b", value)
    if isinstance(value, io.IOBase):
        value.close()
    request = server.seen[1]
    assert (request.method, request.query, request.body) == ("PUT", {"path": ["/a b"]}, expected)
    if isinstance(value, (str, bytes, Path)):
        assert request.headers["content-length"] == str(len(expected))


async def test_write_takes_no_more_from_a_stream_than_the_connection_does() -> None:
    loop = asyncio.get_running_loop()
    gate = asyncio.Event()
    received = 0

    def receive(request: SeenRequest, exchange: Exchange) -> None:
        nonlocal received
        if request.method != "PUT":
            return exchange.send_json(200, {"sandboxID": "sb-0a1b2c3d"})
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        received = len(exchange.read_body())
        return exchange.send(204)

    taken = 0
    closed = False

    async def source() -> AsyncIterator[bytes]:
        nonlocal taken, closed
        try:
            while taken < 64:
                taken += 1
                yield bytes(MiB)
        finally:
            closed = True

    with TestServer(receive, raw=True) as server:
        sandbox = await sandbox_at(server)
        writing = asyncio.create_task(sandbox.files.write("a", source()))
        assert await standstill(lambda: taken) < 24
        gate.set()
        await writing
    assert received == 64 * MiB
    assert closed


async def test_a_source_that_fails_is_reported_as_it_failed_and_the_body_is_cut_off() -> None:
    broken: list[BaseException] = []

    def receive(request: SeenRequest, exchange: Exchange) -> None:
        if request.method != "PUT":
            return exchange.send_json(200, {"sandboxID": "sb-0a1b2c3d"})
        try:
            exchange.read_body()
        except (ValueError, OSError) as error:
            broken.append(error)
        exchange.close_connection = True
        return None

    failure = OSError("disk of the caller")

    async def source() -> AsyncIterator[bytes]:
        yield every_byte
        raise failure

    with TestServer(receive, raw=True) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(OSError) as caught:
            await sandbox.files.write("a", source())
        assert caught.value is failure
        await eventually(lambda: broken)


async def test_a_dict_is_not_taken_for_its_keys() -> None:
    with TestServer(routed(PUT_files=done)) as server:
        sandbox = await sandbox_at(server)
        content: Any = {"a": 1}
        with pytest.raises(InvalidRequestError, match=r"cannot be sent: dict\. .*json\.dumps"):
            await sandbox.files.write("a", content)
        assert [request.method for request in server.seen] == ["GET"]


@pytest.mark.parametrize("item", [1, None, ["a"]])
async def test_a_source_of_something_else_is_refused(item: Any) -> None:
    with TestServer(routed(PUT_files=done)) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(InvalidRequestError, match="yielded"):
            await sandbox.files.write("a", [item])


async def test_a_refusal_in_the_middle_ends_the_upload() -> None:
    def refuse(request: SeenRequest, exchange: Exchange) -> None:
        if request.method != "PUT":
            return exchange.send_json(200, {"sandboxID": "sb-0a1b2c3d"})
        exchange.close_connection = True
        return exchange.send_json(410, {"error": "it has ended", "code": "sandbox_stopped"}, {"Connection": "close"})

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MiB)

    with TestServer(refuse, raw=True) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises((SandboxStoppedError, ConnectionError)):
            await asyncio.wait_for(sandbox.files.write("a", endless()), 60)


async def test_an_upload_without_progress_times_out() -> None:
    def stall(request: SeenRequest, exchange: Exchange) -> None:
        if request.method != "PUT":
            return exchange.send_json(200, {"sandboxID": "sb-0a1b2c3d"})
        exchange.rfile.read(1)
        given_up.wait(60)
        return None

    given_up = threading.Event()
    with TestServer(stall, raw=True) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(TimeoutError, match=r"made no progress for 0\.3 s"):
            await sandbox.files.write("a", bytes(64 * MiB), request_timeout=0.3)
        given_up.set()


async def test_reads_text_bytes_and_streams() -> None:
    def big(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.send(200, every_byte * 4096)

    with TestServer(routed(GET_files=big)) as server:
        sandbox = await sandbox_at(server)
        assert await sandbox.files.read_bytes("a") == every_byte * 4096
        assert (await sandbox.files.read("a")).startswith("\x00\x01")
        assert b"".join([piece async for piece in sandbox.files.read_stream("a")]) == every_byte * 4096
        # Who leaves early closes the connection and can go on.
        async for piece in sandbox.files.read_stream("a"):
            assert piece
            break
        assert await sandbox.files.exists("a")


async def test_a_download_that_breaks_off_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    def cut(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", "1000000")
        exchange.end_headers()
        exchange.wfile.write(b"x" * 1000)
        exchange.hang_up()

    with TestServer(routed(GET_files=cut)) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(ConnectionError):
            await sandbox.files.download("a", tmp_path / "a")
        with pytest.raises(ConnectionError):
            await sandbox.files.read_bytes("a")
    assert list(tmp_path.iterdir()) == []


async def test_downloads_into_a_file(tmp_path: Path) -> None:
    target = tmp_path / "plot.png"
    target.write_text("old")
    with TestServer(routed(GET_files=lambda _, exchange: exchange.send(200, every_byte))) as server:
        sandbox = await sandbox_at(server)
        assert await sandbox.files.download("plot.png", str(target)) == 256
    assert target.read_bytes() == every_byte
    assert list(tmp_path.iterdir()) == [target]
    assert target.stat().st_mode & 0o400


async def test_a_read_that_stalls_times_out_and_slow_but_steady_ones_do_not() -> None:
    def drip(request: SeenRequest, exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", "8")
        exchange.end_headers()
        for _ in range(4):
            exchange.wfile.write(b"x")
            # Real time: together longer than the limit, which is for each of them.
            time.sleep(0.15)
        if request.query["path"] == ["stall"]:
            exchange.rfile.read(1)
        exchange.wfile.write(b"xxxx")

    with TestServer(routed(GET_files=drip)) as server:
        sandbox = await sandbox_at(server)
        assert len(await sandbox.files.read("steady", request_timeout=0.4)) == 8
        with pytest.raises(TimeoutError, match="request_timeout"):
            await sandbox.files.read("stall", request_timeout=0.4)
        with pytest.raises(TimeoutError, match="made no progress"):
            async for _ in sandbox.files.read_stream("stall", request_timeout=0.4):
                pass


async def test_missing_files() -> None:
    with TestServer(routed(GET_files=missing, GET_files_list=missing)) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(FileNotFoundError) as caught:
            await sandbox.files.read("a")
        assert isinstance(caught.value, __builtins__["FileNotFoundError"])
        assert not await sandbox.files.exists("a")
        with pytest.raises(FileNotFoundError):
            await sandbox.files.list("a")


@pytest.mark.parametrize(
    ("code", "there"),
    [("is_directory", True), ("not_regular_file", True), ("not_directory", False), ("file_not_found", False)],
)
async def test_exists_is_about_anything_at_the_path(code: str, there: bool) -> None:
    with TestServer(routed(GET_files=(400, {"error": "x", "code": code}))) as server:
        assert await (await sandbox_at(server)).files.exists("/tmp") is there


async def test_exists_is_an_error_when_nobody_knows() -> None:
    gone = (404, {"error": "x", "code": "sandbox_not_found"})
    with TestServer(routed(GET_files=gone)) as server:
        sandbox = await sandbox_at(server)
        with pytest.raises(SandboxNotFoundError):
            await sandbox.files.exists("/tmp")


async def test_lists_makes_and_removes() -> None:
    entries = [
        {"name": "a", "path": "/a", "isDir": True, "mode": "0755", "modifiedAt": "2026-01-02T03:04:05.5Z"},
        {"name": "b", "path": "/b", "isDir": False, "size": 3, "type": "socket"},
    ]
    with TestServer(routed(GET_files_list=(200, entries), POST_files_mkdir=done, DELETE_files=done)) as server:
        sandbox = await sandbox_at(server)
        first, second = await sandbox.files.list()
        assert (first.type, first.size, first.mode) == ("directory", 0, "0755")
        assert first.modified_at is not None
        assert first.modified_at.isoformat() == "2026-01-02T03:04:05.500000+00:00"
        assert (second.type, second.size, second.modified_at) == ("other", 3, None)
        await sandbox.files.make_dir("/x&y=z")
        await sandbox.files.remove("/ü")
    assert [request.query for request in server.seen[1:]] == [
        {"path": ["/"]},
        {"path": ["/x&y=z"]},
        {"path": ["/ü"]},
    ]


async def test_signed_urls() -> None:
    with TestServer(routed(POST_files_download_url=(200, {"url": "http://x/y", "expiresAt": "…"}))) as server:
        sandbox = await sandbox_at(server)
        assert await sandbox.download_url("/a", expires_in=60) == "http://x/y"
    assert server.seen[1].json == {"path": "/a", "expiresIn": 60}

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import opencomputer
from opencomputer import sync
from opencomputer.sync import ConnectionError, FileNotFoundError, InvalidRequestError, Sandbox

from .support.bash_session import BashSession
from .support.eventually import eventually_sync
from .support.http_server import Exchange, SeenRequest, TestServer, wire_sandbox
from .support.routes import routed
from .support.session_server import SessionServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ran = (200, {"exitCode": 0, "stdout": "hi\n", "stderr": ""})


def sandbox_at(server: TestServer, **options: Any) -> Sandbox:
    return Sandbox.connect("sb-0a1b2c3d", "osb_key", server.url, **options)


def described(owner: type) -> dict[str, list[str]]:
    """Descriptions of a class and its methods in lines, as an editor shows them."""
    members = {"": owner, **vars(owner)}
    docs = {name: inspect.getdoc(member) if name else owner.__doc__ for name, member in members.items()}
    return {name: inspect.cleandoc(doc).split("\n") for name, doc in docs.items() if doc and not name.startswith("_")}


def test_descriptions_have_the_same_shape() -> None:
    for name in sync.__all__:
        one, other = getattr(opencomputer, name), getattr(sync, name)
        if not inspect.isclass(one) or one is other:
            continue
        expected, told = described(one), described(other)
        for member in expected.keys() & told.keys():
            indents = [[len(line) - len(line.lstrip()) for line in lines] for lines in (expected[member], told[member])]
            assert indents[1] == indents[0], f"{name}.{member}"


def test_has_the_same_names_and_signatures() -> None:
    assert sync.__all__ == opencomputer.__all__
    for name in sync.__all__:
        one, other = getattr(opencomputer, name), getattr(sync, name)
        if not inspect.isclass(one) or one is other:
            continue
        assert (one.__doc__ is None) == (other.__doc__ is None)
        members = {member for member in vars(one) if not member.startswith("_")}
        assert members <= set(dir(other)), name
        for member in members:
            method = getattr(other, member)
            if inspect.isfunction(method):
                assert not inspect.iscoroutinefunction(method), f"{name}.{member}"
                assert inspect.signature(method).parameters.keys() == (
                    inspect.signature(getattr(one, member)).parameters.keys()
                ), f"{name}.{member}"


def test_runs_commands_and_kills_at_the_end_of_the_block() -> None:
    with TestServer(routed(POST_exec_run_async=ran)) as server:
        with Sandbox.create(api_key="osb_key", api_url=server.url) as sandbox:
            assert sandbox.exec.run("echo hi").stdout == "hi\n"
            assert sandbox.info.cpu_count == 1
            assert repr(sandbox) == "<Sandbox sb-0a1b2c3d running>"
        assert sandbox.status == "stopped"
    assert server.seen[-1].method == "DELETE"


async def test_works_where_an_event_loop_runs() -> None:
    with TestServer(routed(POST_exec_run_async=ran)) as server:
        assert sandbox_at(server).exec.run("echo hi").stdout == "hi\n"
        # Both forms beside each other.
        other = await opencomputer.Sandbox.connect("sb-0a1b2c3d", api_url=server.url)
        assert (await other.exec.run("echo hi")).stdout == "hi\n"


def test_fifty_threads_at_once() -> None:
    with TestServer(routed(POST_exec_run_async=ran)) as server:
        sandbox = sandbox_at(server)
        with ThreadPoolExecutor(50) as threads:
            results = [result.exit_code for result in threads.map(sandbox.exec.run, ["true"] * 50)]
    assert results == [0] * 50


def test_errors_are_the_same() -> None:
    with TestServer(routed(GET_files=(404, {"error": "no such file", "code": "file_not_found"}))) as server:
        sandbox = sandbox_at(server)
        with pytest.raises(FileNotFoundError, match="no such file"):
            sandbox.files.read("a")
        with pytest.raises(FileNotFoundError):
            list(sandbox.files.read_stream("a"))
        with pytest.raises(InvalidRequestError, match="command"):
            sandbox.exec.run(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidRequestError, match="on_stdout"):
            sandbox.exec.start("x", on_stdout=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConnectionError):
        sandbox.is_running()


def test_files_are_read_and_written_piece_by_piece(tmp_path: Path) -> None:
    stored = b""

    def put(request: SeenRequest, exchange: Exchange) -> None:
        nonlocal stored
        stored = request.body
        exchange.send(204)

    with TestServer(routed(PUT_files=put, GET_files=lambda _, exchange: exchange.send(200, stored))) as server:
        sandbox = sandbox_at(server)
        sandbox.files.write("a", (b"piece " for _ in range(3)))
        assert sandbox.files.read("a") == "piece piece piece "
        # From one to the other, both through the same loop.
        sandbox.files.write("b", sandbox.files.read_stream("a"))
        assert sandbox.files.download("b", tmp_path / "b") == 18
        for piece in sandbox.files.read_stream("a"):
            assert piece
            break
        assert sandbox.files.exists("a")


def test_lists() -> None:
    def handle(request: SeenRequest, exchange: Exchange) -> None:
        page = int(request.query.get("cursor", ["1"])[0])
        exchange.send_json(
            200, [{**wire_sandbox, "sandboxID": f"sb-{page}"}], {"X-Next-Cursor": str(page + 1)} if page < 3 else {}
        )

    with TestServer(handle) as server:
        listing = Sandbox.list(api_url=server.url)
        assert [sandbox.id for sandbox in listing] == ["sb-1", "sb-2", "sb-3"]
        for page in listing.pages():
            assert isinstance(page.sandboxes[0], Sandbox)


def test_a_session_with_callbacks_that_use_the_client() -> None:
    with SessionServer(handle=routed(POST_exec_run_async=ran)) as server:
        sandbox = sandbox_at(server)
        heard: list[object] = []
        threads: set[str] = set()

        def on_stdout(data: bytes) -> None:
            # The session is there although it prints at once, and neither call waits for itself.
            heard.append(session.session_id)
            session.send_stdin(data.upper())
            heard.append(sandbox.exec.run("true").exit_code)
            threads.add(threading.current_thread().name)

        server.session.print("at once")
        session = sandbox.exec.attach("abcd1234", on_stdout, on_exit=heard.append)
        eventually_sync(lambda: server.session.stdin == b"AT ONCE")
        server.session.exit(3)
        assert session.wait() == 3
        assert session.done.result(30) == 3
        eventually_sync(lambda: heard == ["abcd1234", 0, 3])
        assert threads.isdisjoint({"MainThread", "opencomputer-sync"})


def test_many_callbacks_may_wait_for_each_other() -> None:
    with SessionServer() as server:
        sandbox = sandbox_at(server)
        all_there = threading.Barrier(40, timeout=60)
        sessions = [sandbox.exec.attach("abcd1234", lambda _: all_there.wait()) for _ in range(40)]
        server.session.print("x")
        server.session.exit(0)
        assert [session.wait() for session in sessions] == [0] * 40


def test_a_session_is_iterated_over() -> None:
    with SessionServer() as server:
        server.session.print("a")
        with sandbox_at(server).exec.attach("abcd1234") as session:
            pieces: list[bytes] = []
            for piece in session:
                pieces.append(piece.data)
                if len(pieces) == 1:
                    server.session.print("b", 2)
                    server.session.exit(0)
            assert pieces == [b"a", b"b"]


def test_a_callback_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with SessionServer() as server:
        session = sandbox_at(server).exec.attach("abcd1234", lambda _: 1 / 0)  # type: ignore[arg-type]
        server.session.print("a")
        server.session.exit(0)
        assert session.wait() == 0
        assert "ZeroDivisionError" in caplog.text


def test_an_asynchronous_callback_is_refused() -> None:
    async def callback(_data: bytes) -> None:
        """Never called."""

    with SessionServer() as server:
        sandbox = sandbox_at(server)
        with pytest.raises(InvalidRequestError, match="on_stdout is an asynchronous function"):
            sandbox.exec.start("true", on_stdout=callback)
    assert [request.method for request in server.seen] == ["GET"]


def test_calls_from_the_loop_itself_are_an_error_not_a_hang() -> None:
    with TestServer(routed(PUT_files=lambda _, exchange: exchange.send(204))) as server:
        sandbox = sandbox_at(server)

        async def source() -> AsyncIterator[bytes]:
            yield sandbox.files.read("b").encode()

        with pytest.raises(RuntimeError, match="its own event loop"):
            sandbox.files.write("a", source())


def test_a_shell_and_an_agent_and_a_terminal() -> None:
    with BashSession() as bash, SessionServer(session=bash) as server:
        told: list[bytes] = []
        with sandbox_at(server).exec.shell() as shell:
            shell.run("cd /usr")
            assert shell.run("pwd", told.append).stdout == "/usr\n"
        assert told == [b"/usr\n"]
    with SessionServer() as server:
        sandbox = sandbox_at(server)
        agent = sandbox.agent.start("go")
        agent.send_prompt("more")
        assert b'"more"' in server.session.stdin
        terminal = sandbox.pty.create()
        server.session.print('{"type": "ready"}\n')
        assert terminal.recv() == b'{"type": "ready"}\n'
        server.session.exit(0)
        assert [event.type for event in agent] == ["ready"]


def test_a_forked_process_has_a_client_of_its_own() -> None:
    with TestServer(routed(POST_exec_run_async=ran)) as server:
        sandbox = sandbox_at(server)
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(0 if sandbox.exec.run("true").stdout == "hi\n" else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert sandbox.exec.run("true").stdout == "hi\n"


program = """
import sys, threading
from opencomputer.sync import Sandbox

sandbox = Sandbox.connect("sb-0a1b2c3d", api_url=sys.argv[1])
if sys.argv[2] == "hang":
    try:
        sandbox.hibernate(request_timeout=0)
    except KeyboardInterrupt:
        print("interrupted", sandbox.is_running())
else:
    # Neither a callback that waits nor a session that is attached keeps the process from its end.
    session = sandbox.exec.attach("abcd1234", lambda _: threading.Event().wait())
    print("attached", session.session_id)
"""


def _start(server: TestServer, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", program, server.url, what]
    path = os.pathsep.join(["src", *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def test_ctrl_c_aborts_the_call_and_the_client_goes_on() -> None:
    ended = threading.Event()

    def hang(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.rfile.read(1)
        ended.set()

    with TestServer(routed(POST_hibernate=hang)) as server, _start(server, "hang") as child:
        eventually_sync(lambda: len(server.seen) == 2)
        child.send_signal(signal.SIGINT)
        told, errors = child.communicate(timeout=60)
        assert (told, errors, child.returncode) == ("interrupted True\n", "", 0)
        assert ended.wait(30)


def test_a_process_ends_with_a_session_attached() -> None:
    with SessionServer() as server:
        server.session.print("x")
        with _start(server, "attach") as child:
            told, errors = child.communicate(timeout=60)
        assert (told, errors, child.returncode) == ("attached abcd1234\n", "", 0)


def test_it_is_used_from_a_loop_that_ends() -> None:
    with TestServer(routed(POST_exec_run_async=ran)) as server:
        sandbox = sandbox_at(server)

        async def once() -> str:
            return await asyncio.to_thread(lambda: sandbox.exec.run("true").stdout)

        assert [asyncio.run(once()) for _ in range(2)] == ["hi\n", "hi\n"]

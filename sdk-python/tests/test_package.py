"""The package as it is published: built, installed into an environment of its own, and used there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .support.http_server import Exchange, SeenRequest, TestServer
from .support.routes import routed
from .support.session_server import SessionServer, TestSession

root = Path(__file__).parent.parent
MiB = 1024 * 1024

program = """
import asyncio, json, resource, sys
import opencomputer, opencomputer.sync

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def pieces():
    for _ in range(256):
        yield bytes(1024 * 1024)

async def main():
    async with await opencomputer.Sandbox.create() as sandbox:
        before = peak()
        await sandbox.files.write("/big", pieces())
        up = peak() - before
        size = 0
        async for piece in sandbox.files.read_stream("/big"):
            size += len(piece)
        await sandbox.files.download("/big", "big")
        with open("big", "rb") as file:
            await sandbox.files.write("/big", file)
        runs = await asyncio.gather(*(sandbox.exec.run("true") for _ in range(50)))
    return {"size": size, "up": up, "all": peak() - before, "runs": len(runs), "status": sandbox.status}

seen = asyncio.run(main())
with opencomputer.sync.Sandbox.create() as sandbox:
    seen["stdout"] = sandbox.exec.run("echo hi").stdout
seen["where"] = opencomputer.__file__
seen["others"] = sorted({name.partition(".")[0] for name in sys.modules} & {"pytest", "anyio", "httpx", "websockets"})
print(json.dumps(seen))
"""

live_program = """
import asyncio
from opencomputer import Sandbox

async def main():
    sandbox = await Sandbox.connect("sb-0a1b2c3d")
    session = await sandbox.exec.start("cat")
    await session.send_stdin("hello")
    heard = b""
    async for piece in session:
        heard += piece.data
        if heard == b"hello":
            await session.close_stdin()
    print(heard.decode(), await session.wait())
    await sandbox.close()

asyncio.run(main())
"""

consumer = """
from opencomputer import ProcessResult, Sandbox
from opencomputer.sync import Sandbox as SyncSandbox

async def main() -> None:
    async with await Sandbox.create(timeout=60, envs={"A": "1"}) as sandbox:
        result: ProcessResult = await sandbox.exec.run("true")
        wrong: str = result.exit_code
        async for output in await sandbox.exec.start("make"):
            data: bytes = output.data
            print(wrong, data)
    with SyncSandbox.create() as other:
        text: str = other.files.read("a")
        print(text)
        code: int = other.exec.start("make", on_stdout=lambda piece: print(piece.decode())).wait()
        print(code)
    await Sandbox.create(timeout="60")
"""


class Installed:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"

    def run(self, code: str, url: str) -> str:
        environment = {"OPENCOMPUTER_API_URL": url, "OPENCOMPUTER_API_KEY": "osb_key", "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [self.python, "-I", "-W", "error", "-c", code],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, root]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in a clean environment; what it needs comes from the one that runs the tests, by its lock."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    [wheel] = built.glob("*.whl")
    found = Installed(folder)
    [site] = (folder / "venv" / "lib").glob("python3*/site-packages")
    ours = Path(sysconfig.get_path("purelib"))
    for name in ("anyio", "certifi", "h11", "httpcore", "httpx", "idna", "typing_extensions.py", "websockets"):
        (site / name).symlink_to(ours / name)
    pip = [sys.executable, "-m", "pip", "--python", found.python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, wheel], check=True, capture_output=True)
    return found


def test_holds_what_it_should(built: Path) -> None:
    [wheel], [source] = built.glob("*.whl"), built.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"opencomputer/__init__.py", "opencomputer/py.typed", "opencomputer/sync/__init__.py"} <= set(names)
    assert all(name.startswith(("opencomputer/", "opencomputer_sdk-")) for name in names)
    with tarfile.open(source) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "src/opencomputer/py.typed", "tests/test_package.py"} <= members
    assert not [name for name in members if ".venv" in name or "__pycache__" in name]


def test_works_installed_and_streams_in_constant_memory(installed: Installed) -> None:
    def put(_request: SeenRequest, exchange: Exchange) -> None:
        size = 0
        if exchange.headers.get("Transfer-Encoding") == "chunked":
            while length := int(exchange.rfile.readline(), 16):
                left = length
                while left:
                    left -= len(exchange.rfile.read(min(left, MiB)))
                size += length
                exchange.rfile.readline()
            exchange.rfile.readline()
        received.append(size)
        exchange.send(204)

    def big(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(256 * MiB))
        exchange.end_headers()
        for _ in range(256):
            exchange.wfile.write(bytes(MiB))

    def ran(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send_json(200, {"exitCode": 0, "stdout": "hi\n", "stderr": ""})

    def created(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send_json(201, {"sandboxID": "sb-0a1b2c3d"})

    received: list[int] = []
    routes = routed(POST_sandboxes=created, PUT_files=put, GET_files=big, POST_exec_run_async=ran)
    with TestServer(routes, raw=True) as server:
        seen: dict[str, Any] = json.loads(installed.run(program, server.url))
    assert received == [256 * MiB] * 2
    assert seen["size"] == 256 * MiB
    assert seen["up"] < 60
    assert seen["all"] < 100
    assert (seen["runs"], seen["status"], seen["stdout"]) == (50, "stopped", "hi\n")
    assert str(installed.folder) in seen["where"]
    assert seen["others"] == ["anyio", "httpx", "websockets"]


def test_attaches_installed(installed: Installed) -> None:
    class Echo(TestSession):
        def taken(self, data: bytes) -> None:
            self.print(data)

        def input_ended(self) -> None:
            self.exit(6)

    with SessionServer(session=Echo()) as server:
        assert installed.run(live_program, server.url) == "hello 6\n"


def test_is_understood_by_the_type_checker_of_a_strict_consumer(installed: Installed) -> None:
    folder = installed.folder / "consumer"
    folder.mkdir()
    (folder / "consumer.py").write_text(consumer)
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    command = [
        sys.executable,
        "-m",
        "basedpyright",
        "--outputjson",
        "--pythonpath",
        installed.python,
        "--project",
        folder,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)["generalDiagnostics"]
    found = [(item["range"]["start"]["line"], item.get("rule")) for item in told]
    assert found == [(7, "reportAssignmentType"), (16, "reportArgumentType")], done.stdout

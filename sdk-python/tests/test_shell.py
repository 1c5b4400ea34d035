"""Shells, on a real bash."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from opencomputer import LimitError, ProcessResult, Sandbox, ShellBusyError, ShellClosedError, TimeoutError

from .support.bash_session import BashSession
from .support.eventually import eventually
from .support.routes import sandbox_at
from .support.session_server import SessionServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@asynccontextmanager
async def sandbox_with_bash() -> AsyncGenerator[tuple[Sandbox, SessionServer]]:
    with BashSession() as session, SessionServer(session=session) as server:
        yield await sandbox_at(server), server


async def test_keeps_directory_variables_and_functions_and_tells_streams_and_exit_codes_apart() -> None:
    async with sandbox_with_bash() as (sandbox, server):
        shell = await sandbox.exec.shell()
        assert server.seen[1].json == {"cmd": "bash", "args": ["--noprofile", "--norc", "+m"]}
        assert await shell.run('cd / && NAME=x && f() { echo "f $1"; }') == ProcessResult(0, "", "")
        assert await shell.run("f $NAME; pwd; echo oops >&2; (exit 3)") == ProcessResult(3, "f x\n/\n", "oops\n")
        assert await shell.run("") == ProcessResult(0, "", "")
        here = await shell.run('printf "no newline"; cat <<E\nhere\nE\n')
        assert here.stdout == "no newlinehere\n"
        assert len((await shell.run("seq 1 20000")).stdout.split("\n")) == 20_001
        await shell.close()
        await shell.close()
        with pytest.raises(ShellClosedError, match="it was closed"):
            await shell.run("true")


async def test_streams_output_as_it_comes_byte_by_byte_what_it_is() -> None:
    async with sandbox_with_bash() as (sandbox, _), await sandbox.exec.shell() as shell:
        chunks: list[bytes] = []
        result = await shell.run("printf '\\377\\n__OC_\\n\\000'; echo; seq 1 3000", chunks.append)
        told = b"".join(chunks)
        assert told.startswith(b"\xff\n__OC_\n\x00\n1\n")
        assert told.endswith(b"\n3000\n")
        assert result.stdout.endswith("\n3000\n")


async def test_is_busy_while_a_command_runs_and_closed_after_exit() -> None:
    async with sandbox_with_bash() as (sandbox, _):
        shell = await sandbox.exec.shell()
        slow = asyncio.create_task(shell.run("read -t 0.3 _ < <(sleep 5); echo slow"))
        await asyncio.sleep(0)
        with pytest.raises(ShellBusyError):
            await shell.run("true")
        assert (await slow).stdout == "slow\n"
        with pytest.raises(ShellClosedError, match="bash exited with code 4"):
            await shell.run("echo last; exit 4")
        with pytest.raises(ShellClosedError):
            await shell.run("true")


async def test_who_stops_waiting_leaves_it_busy_until_the_command_ends() -> None:
    async with sandbox_with_bash() as (sandbox, _):
        shell = await sandbox.exec.shell()
        with pytest.raises(TimeoutError, match="wait_timeout"):
            await shell.run("sleep 0.5", wait_timeout=0.05)
        with pytest.raises(ShellBusyError):
            await shell.run("true")

        async def free() -> ProcessResult:
            while True:
                try:
                    return await shell.run("echo free")
                except ShellBusyError:
                    # Real time: the pause between two looks.
                    await asyncio.sleep(0.01)

        assert (await asyncio.wait_for(free(), 30)).stdout == "free\n"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(shell.run("sleep 0.5"), 0.05)
        assert (await asyncio.wait_for(free(), 30)).stdout == "free\n"


async def test_is_found_again_by_its_id_without_what_it_printed_before() -> None:
    async with sandbox_with_bash() as (sandbox, _):
        shell = await sandbox.exec.shell()
        await shell.run("cd /usr; echo old")
        again = await sandbox.exec.reattach_shell(shell.session_id)
        heard: list[bytes] = []
        result = await again.run("pwd", heard.append)
        assert (result.stdout, b"".join(heard)) == ("/usr\n", b"/usr\n")


async def test_a_connection_that_is_cut_is_not_noticed() -> None:
    async with sandbox_with_bash() as (sandbox, server):
        shell = await sandbox.exec.shell()
        pending = asyncio.create_task(shell.run("for i in 1 2 3 4; do echo $i; read -t 0.2 _ < <(sleep 5); done"))
        for _ in range(2):
            await eventually(lambda: server.session.attached == 1)
            # Real time: the command goes on meanwhile.
            await asyncio.sleep(0.15)
            server.session.cut()
        assert (await pending).stdout == "1\n2\n3\n4\n"


async def test_what_is_too_large_has_not_been_sent_and_the_shell_lives() -> None:
    async with sandbox_with_bash() as (sandbox, _):
        shell = await sandbox.exec.shell()
        with pytest.raises(LimitError):
            await shell.run(f": {'x' * (17 * 1024 * 1024)}")
        assert (await shell.run("echo on")).stdout == "on\n"


async def test_of_much_output_the_newest_is_kept() -> None:
    async with sandbox_with_bash() as (sandbox, _):
        shell = await sandbox.exec.shell()
        result = await shell.run("head -c 9000000 /dev/zero | tr '\\0' a; echo; echo end")
        assert result.truncated
        assert len(result.stdout) == 8 * 1024 * 1024
        assert result.stdout.endswith("aa\nend\n")

"""Runs commands and waits for their ends."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import check
from .answers import Answer
from .deadline import Deadline, Expired
from .errors import ConnectionError, ExecTimeoutError, OpenComputerError, ServerError, unexpected_answer
from .http import HttpClient, Request
from .retry import back_off, may_pass

if TYPE_CHECKING:
    from collections.abc import Mapping

# How long to wait for the id of a command after the caller has given up, so that the error contains it.
_start_grace = 1.0
# How long a server may be unreachable, e.g. while it restarts, before waiting for a command fails.
_server_absence = 30.0
_poll_timeout = 15.0
# If "still running" comes faster than this, the server does not wait with it, and the client pauses itself.
_held_answer = 0.1
_longest_pause = 0.5


@dataclass(frozen=True)
class ProcessResult:
    """A command that has ended.

    Attributes:
        exit_code: 128 + n when signal n killed it; -1 when it ran into ``timeout``.
        stdout: Read as UTF-8; bytes that are not become U+FFFD.
        stderr: Likewise.
        truncated: True when it printed more than is kept: the oldest output is missing.
    """

    exit_code: int
    stdout: str
    stderr: str
    truncated: bool = False


def visibility(log: bool, listed: bool) -> dict[str, bool]:
    """The fields of a request about where its command shows up; empty for the default."""
    flags = {"log": check.flag("log", log), "listed": check.flag("listed", listed)}
    return {name: value for name, value in flags.items() if not value}


class CommandRunner:
    """Runs commands of one sandbox."""

    def __init__(self, http: HttpClient, path: str) -> None:
        """Takes the path of the sandbox's commands."""
        self._http = http
        self._path = path

    async def run(
        self,
        command: str,
        timeout: float,
        env: Mapping[str, str] | None,
        cwd: str | None,
        wait_timeout: float | None,
        request_timeout: float | None,
        visible: Mapping[str, bool],
    ) -> ProcessResult:
        """See ``Exec.run``."""
        body = {
            "cmd": "sh",
            "args": ["-c", check.text("command", command)],
            "timeout": check.seconds("timeout", timeout),
            "envs": check.optional(check.text_map, "env", env),
            "cwd": check.optional(check.text, "cwd", cwd),
            **visible,
        }
        limit = check.optional(check.seconds, "wait_timeout", wait_timeout)
        started = time.monotonic()
        request = Request("POST", f"{self._path}/run-async", json=body, timeout=request_timeout)
        try:
            async with Deadline(None if limit is None else limit + _start_grace):
                handle = Answer(await self._http.json(request))
        except Expired:
            raise _stopped_waiting(None, limit) from None
        exec_id = handle.optional_text("execId")
        if exec_id is None:
            return _result(handle)
        left = None if limit is None else limit - (time.monotonic() - started)
        return await self._wait(exec_id, left, limit, request_timeout)

    async def wait(
        self, exec_id: str | None, wait_timeout: float | None, request_timeout: float | None
    ) -> ProcessResult:
        """See ``Exec.wait``."""
        known = check.segment("command", exec_id, "Take it from ExecTimeoutError.exec_id.")
        limit = check.optional(check.seconds, "wait_timeout", wait_timeout)
        return await self._wait(known, limit, limit, request_timeout)

    async def _wait(
        self, exec_id: str, left: float | None, limit: float | None, request_timeout: float | None
    ) -> ProcessResult:
        try:
            async with Deadline(None if left is None else max(left, 0.001)):
                return await self._poll(exec_id, request_timeout)
        except Expired:
            raise _stopped_waiting(exec_id, limit) from None

    async def _poll(self, exec_id: str, request_timeout: float | None) -> ProcessResult:
        timeout = _poll_timeout if request_timeout is None else request_timeout
        request = Request("GET", f"{self._path}/{exec_id}/result", timeout=timeout, retry=False)
        started = last_answer = time.monotonic()
        failures = 0
        while True:
            asked = time.monotonic()
            try:
                poll = Answer(await self._http.json(request))
                if not poll.flag("running", False):
                    return _end(poll, exec_id)
                last_answer = time.monotonic()
                failures = 0
                pause = min(_longest_pause, (last_answer - started) / 50)
                if last_answer - asked < _held_answer:
                    pause = max(pause, _held_answer)
            except OpenComputerError as error:
                if not may_pass(error):
                    raise
                if time.monotonic() - last_answer > _server_absence:
                    raise _lost_server(exec_id, error) from error
                failures += 1
                pause = back_off(failures)
            await asyncio.sleep(pause)


def _result(answer: Answer) -> ProcessResult:
    if answer.optional_whole("exitCode") is None:
        raise unexpected_answer("the answer about the command holds neither execId nor exitCode")
    return ProcessResult(
        exit_code=answer.whole("exitCode"),
        stdout=answer.text("stdout", ""),
        stderr=answer.text("stderr", ""),
        truncated=answer.flag("truncated", False),
    )


def _end(poll: Answer, exec_id: str) -> ProcessResult:
    error = poll.optional_text("error")
    if not error:
        return _result(poll)
    message = f"the command could not be carried out: {error}"
    raise ServerError(message, code="exec_failed", details={"execId": exec_id})


def _stopped_waiting(exec_id: str | None, limit: float | None) -> ExecTimeoutError:
    why = f"wait_timeout ({limit:g} s) has passed"
    if exec_id is None:
        return ExecTimeoutError(
            f"stopped waiting for the start of the command, which may have happened: {why}",
            exec_id=None,
            hint="raise wait_timeout to wait longer, set timeout to have the command killed",
        )
    return ExecTimeoutError(
        f"stopped waiting for command {exec_id}, which goes on: {why}",
        exec_id=exec_id,
        hint=f"exec.wait('{exec_id}') waits again; raise wait_timeout to wait longer, "
        "set timeout to have the command killed",
    )


def _lost_server(exec_id: str, cause: OpenComputerError) -> ConnectionError:
    return ConnectionError(
        f"the server has not answered for {_server_absence:g} s while command {exec_id} was waited for: {cause}",
        code="connection_lost",
        hint=f"The command may go on; exec.wait('{exec_id}') waits again when the server is back.",
        details={"execId": exec_id},
        request_sent=True,
    )

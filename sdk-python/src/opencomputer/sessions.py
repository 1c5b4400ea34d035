"""The API of one sandbox for sessions: commands, terminals and agents are all sessions there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import check
from .answers import Answer, answers
from .connection.open import SessionAddress
from .http import HttpClient, Request

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True)
class AgentSessionInfo:
    """An agent session, as ``agent.list`` returns it.

    Attributes:
        session_id: Its id.
        sandbox_id: Where it runs.
        running: False once it has ended.
        exit_code: Once it has ended.
        started_at: When it was started.
        attached_clients: Clients that are attached now.
    """

    session_id: str
    sandbox_id: str
    running: bool
    exit_code: int | None
    started_at: datetime | None
    attached_clients: int


@dataclass(frozen=True)
class ExecSessionInfo(AgentSessionInfo):
    """A session, as ``exec.list`` and ``pty.list`` return it.

    Attributes:
        command: The executable.
        args: Its arguments.
    """

    command: str
    args: tuple[str, ...]


class SessionApi:
    """Starts, lists and ends sessions."""

    def __init__(self, http: HttpClient, sandbox_path: str) -> None:
        """Takes the path of the sandbox."""
        self.http = http
        self._path = sandbox_path

    @property
    def sandbox_id(self) -> str:
        """The sandbox."""
        return self._path.rpartition("/")[2]

    def address(self, session_id: str) -> SessionAddress:
        """The address of a session's socket."""
        return SessionAddress(self.http, session_id, f"{self._path}/exec/{_segment(session_id)}")

    async def create(
        self, kind: Literal["exec", "pty", "agent"], body: Mapping[str, object], request_timeout: float | None
    ) -> str:
        """Starts a session of a kind; returns its id."""
        request = Request("POST", f"{self._path}/{kind}", json=body, timeout=request_timeout)
        return Answer(await self.http.json(request)).text("sessionID")

    async def list(self, kind: Literal["exec", "pty"], request_timeout: float | None) -> builtins.list[ExecSessionInfo]:
        """Sessions of a kind."""
        request = Request("GET", f"{self._path}/{kind}", timeout=request_timeout)
        return [
            ExecSessionInfo(**_members(answer), command=answer.text("command", ""), args=tuple(answer.texts("args")))
            for answer in answers(await self.http.json(request))
        ]

    async def list_agents(self, request_timeout: float | None) -> builtins.list[AgentSessionInfo]:
        """Agent sessions."""
        request = Request("GET", f"{self._path}/agent", timeout=request_timeout)
        return [AgentSessionInfo(**_members(answer)) for answer in answers(await self.http.json(request))]

    async def kill(
        self, kind: Literal["exec", "agent"], session_id: str, signal: int, request_timeout: float | None
    ) -> None:
        """Sends a signal."""
        path = f"{self._path}/{kind}/{_segment(session_id)}/kill"
        body = {"signal": check.positive("signal", signal)}
        await self.http.done(Request("POST", path, json=body, timeout=request_timeout))

    async def resize(self, session_id: str, cols: int, rows: int, request_timeout: float | None) -> None:
        """Changes the size of a terminal."""
        path = f"{self._path}/pty/{_segment(session_id)}/resize"
        body = {"cols": check.whole("cols", cols), "rows": check.whole("rows", rows)}
        await self.http.done(Request("POST", path, json=body, timeout=request_timeout))

    async def hang_up(self, session_id: str, request_timeout: float | None) -> None:
        """Hangs up a terminal."""
        path = f"{self._path}/pty/{_segment(session_id)}"
        await self.http.done(Request("DELETE", path, timeout=request_timeout))


def _segment(session_id: str) -> str:
    return check.segment("session", session_id, "Take it from session.session_id or from list().")


def _members(answer: Answer) -> dict[str, Any]:
    return {
        "session_id": answer.text("sessionID"),
        "sandbox_id": answer.text("sandboxID", ""),
        "running": answer.flag("running", False),
        "exit_code": answer.optional_whole("exitCode"),
        "started_at": answer.optional_time("startedAt"),
        "attached_clients": answer.whole("attachedClients", 0),
    }

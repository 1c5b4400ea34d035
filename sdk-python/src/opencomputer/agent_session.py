"""A running agent, and the connection to it."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from . import check
from .connection.notify import keep_running, notify
from .errors import invalid_option
from .exec_session import Attachment, ExecSession, SessionCallbacks, open_session
from .http import without_none
from .json_lines import JsonLines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from .config import Reconnect
    from .exec_session import OnDisconnect, OnEvent, OnExit, OnGap
    from .sessions import SessionApi

OnAgentEvent: TypeAlias = "Callable[[AgentEvent], object]"
OnText: TypeAlias = "Callable[[str], object]"


@dataclass(frozen=True)
class AgentEvent:
    """An event of an agent. Agents may send further types and members.

    Attributes:
        type: ``ready``, ``configured``, ``system``, ``assistant``, ``user``, ``result``, ``turn_complete``,
            ``interrupted``, ``error`` or another.
        data: All other members, also as ``event["name"]``.
    """

    type: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A member, or ``default`` where it is absent."""
        return self.data.get(name, default)


@dataclass(frozen=True)
class AgentCallbacks:
    """Callbacks of an agent session. They are called in order, one after the other."""

    on_event: OnAgentEvent | None = None
    on_error: OnText | None = None
    on_exit: OnExit | None = None
    on_scrollback_end: OnEvent | None = None
    on_gap: OnGap | None = None
    on_disconnect: OnDisconnect | None = None
    on_reconnect: OnEvent | None = None
    on_hibernate: OnEvent | None = None
    on_wake: OnEvent | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            check.callback(name, getattr(self, name))


def agent_config(
    model: str | None = None,
    system_prompt: str | None = None,
    allowed_tools: Sequence[str] | None = None,
    permission_mode: str | None = None,
    max_turns: int | None = None,
    cwd: str | None = None,
    mcp_servers: Mapping[str, Mapping[str, object]] | None = None,
    disallowed_tools: Sequence[str] | None = None,
    resume: str | None = None,
) -> dict[str, object]:
    """How an agent is to work."""
    return without_none(
        {
            "model": check.optional(check.text, "model", model),
            "systemPrompt": check.optional(check.text, "system_prompt", system_prompt),
            "allowedTools": check.optional(check.texts, "allowed_tools", allowed_tools),
            "disallowedTools": check.optional(check.texts, "disallowed_tools", disallowed_tools),
            "permissionMode": check.optional(check.text, "permission_mode", permission_mode),
            "maxTurns": check.optional(check.positive, "max_turns", max_turns),
            "cwd": check.optional(check.text, "cwd", cwd),
            "mcpServers": _servers(mcp_servers),
            "resume": check.optional(check.text, "resume", resume),
        }
    )


def _servers(value: Mapping[str, Mapping[str, object]] | None) -> dict[str, object] | None:
    if value is None:
        return None
    try:
        copy: dict[str, object] = json.loads(json.dumps({**value}))
    except (TypeError, ValueError) as error:
        hint = 'Give one such as {"db": {"command": "db-server", "args": []}}.'
        raise invalid_option(f"mcp_servers is no dict of JSON: {error}", hint) from None
    return copy


class AgentSession:
    """A running agent, and the connection to it. It goes on when the connection is closed or lost.

    Get one with ``agent.start`` or ``agent.attach``. Iterate over it where there is no ``on_event``.

    Example:
        ```python
        agent = await sandbox.agent.start("Write a hello world in C and run it")
        async for event in agent:
            if event.type == "turn_complete":
                await agent.kill()
        ```
    """

    def __init__(self, api: SessionApi, callbacks: AgentCallbacks) -> None:
        """Internal: use ``agent.start`` or ``agent.attach``."""
        self._api = api
        self._callbacks = callbacks
        self._session: ExecSession
        self._errors = codecs.getincrementaldecoder("utf-8")("replace")

    async def _open(self, session_id: str, attachment: Attachment) -> AgentSession:
        told = self._callbacks
        lines = JsonLines()

        async def on_stdout(data: bytes) -> None:
            for line in lines.push(data):
                await self._tell(line)

        async def on_exit(code: int) -> None:
            for line in lines.end():
                await self._tell(line)
            await notify(told.on_exit, code)

        callbacks = SessionCallbacks(
            None if told.on_event is None else on_stdout,
            self._on_stderr,
            on_exit,
            told.on_scrollback_end,
            told.on_gap,
            told.on_disconnect,
            told.on_reconnect,
            told.on_hibernate,
            told.on_wake,
        )
        self._session = await open_session(self._api, session_id, callbacks, attachment)
        return self

    @property
    def session_id(self) -> str:
        """For ``agent.attach``, also from another process."""
        return self._session.session_id

    @property
    def sandbox_id(self) -> str:
        """Where it runs."""
        return self._session.sandbox_id

    @property
    def offset(self) -> int:
        """Offset in the output: ``agent.attach(session_id, offset=…)`` goes on there."""
        return self._session.offset

    @property
    def done(self) -> Awaitable[int]:
        """The same as ``wait()``, as an awaitable."""
        return self._session.done

    async def wait(self, timeout: float | None = None) -> int:
        """Waits for the end of the agent, which lives until it is killed.

        Args:
            timeout: Seconds to wait; the agent goes on afterwards. Default: until it ends.

        Returns:
            The exit code; -1 when it was closed here.

        Raises:
            ConnectionError: The connection is lost for good.
            TimeoutError: ``timeout`` has passed.

        Example:
            ```python
            exit_code = await agent.wait()
            ```
        """
        return await self._session.wait(timeout)

    def send_prompt(self, text: str) -> Awaitable[None]:
        """Sends it a prompt; the event ``turn_complete`` says that it is done.

        It is sent at once. Await the result to know that the agent has it, or leave it, e.g. in a callback.

        Args:
            text: The prompt.

        Raises:
            ConflictError: The agent has ended.

        Example:
            ```python
            await agent.send_prompt("Now in Rust")
            ```
        """
        return self._send({"type": "prompt", "text": check.text("text", text)})

    def interrupt(self) -> Awaitable[None]:
        """Interrupts the current turn; ``interrupted`` says that it has stopped. To be awaited like ``send_prompt``.

        Raises:
            ConflictError: The agent has ended.

        Example:
            ```python
            await agent.interrupt()
            ```
        """
        return self._send({"type": "interrupt"})

    def configure(
        self,
        model: str | None = None,
        system_prompt: str | None = None,
        allowed_tools: Sequence[str] | None = None,
        permission_mode: str | None = None,
        max_turns: int | None = None,
        cwd: str | None = None,
        *,
        mcp_servers: Mapping[str, Mapping[str, object]] | None = None,
        disallowed_tools: Sequence[str] | None = None,
        resume: str | None = None,
    ) -> Awaitable[None]:
        """Changes how it works from the next prompt on. To be awaited like ``send_prompt``.

        Args:
            model: As for ``agent.start``.
            system_prompt: As for ``agent.start``.
            allowed_tools: As for ``agent.start``.
            permission_mode: As for ``agent.start``.
            max_turns: As for ``agent.start``.
            cwd: As for ``agent.start``.
            mcp_servers: As for ``agent.start``.
            disallowed_tools: As for ``agent.start``.
            resume: As for ``agent.start``.

        Raises:
            ConflictError: The agent has ended.

        Example:
            ```python
            await agent.configure(max_turns=5)
            ```
        """
        config = agent_config(
            model,
            system_prompt,
            allowed_tools,
            permission_mode,
            max_turns,
            cwd,
            mcp_servers,
            disallowed_tools,
            resume,
        )
        return self._send({"type": "configure", **config})

    async def kill(self, signal: int = 9, *, request_timeout: float | None = None) -> None:
        """Ends it.

        Args:
            signal: Number of the signal; 9 is KILL.
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: The session is not kept any more.

        Example:
            ```python
            await agent.kill()
            ```
        """
        await self._api.kill("agent", self.session_id, signal, request_timeout)

    async def close(self) -> None:
        """Detaches from the agent, which goes on.

        Example:
            ```python
            await agent.close()
            ```
        """
        await self._session.close()

    async def collect_events(self) -> list[AgentEvent]:
        """Waits for the end of the agent; for agents without ``on_event``.

        Returns:
            All its events.

        Raises:
            ConnectionError: The connection is lost for good.

        Example:
            ```python
            await agent.kill()
            events = await agent.collect_events()
            ```
        """
        return [event async for event in self]

    async def __aenter__(self) -> AgentSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[AgentEvent]:
        """The events, one by one, until the agent ends; for agents without ``on_event``."""
        lines = JsonLines()
        async for piece in self._session:
            if piece.stream == "stdout":
                for line in lines.push(piece.data):
                    if isinstance(line, str):
                        await self._tell(line)
                    else:
                        yield _event(line)
        for line in lines.end():
            if not isinstance(line, str):
                yield _event(line)

    def _send(self, command: Mapping[str, object]) -> Awaitable[None]:
        return keep_running(self._session.send_stdin(f"{json.dumps(command)}\n"))

    async def _on_stderr(self, data: bytes) -> None:
        await notify(self._callbacks.on_error, self._errors.decode(data))

    async def _tell(self, line: dict[str, Any] | str) -> None:
        if isinstance(line, str):
            await notify(self._callbacks.on_error, f"non-JSON stdout: {line}")
        else:
            await notify(self._callbacks.on_event, _event(line))


def _event(line: dict[str, Any]) -> AgentEvent:
    data = dict(line)
    kind = data.pop("type", "")
    return AgentEvent(kind if isinstance(kind, str) else "", data)


async def open_agent(
    api: SessionApi,
    session_id: str,
    callbacks: AgentCallbacks,
    *,
    offset: int,
    reconnect: Reconnect | Literal[False] | None,
    request_timeout: float | None,
) -> AgentSession:
    """Attaches to an agent."""
    attachment = Attachment(offset, reconnect, request_timeout)
    return await AgentSession(api, callbacks)._open(session_id, attachment)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

"""Coding agents in a sandbox.

The synchronous form, written by scripts/generate_sync.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .agent_session import AgentSession
from .portal import Callbacks, call

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence

    from .. import agent as _agent
    from ..agent_session import OnAgentEvent, OnText
    from ..config import Reconnect
    from ..exec_session import OnDisconnect, OnEvent, OnExit, OnGap
    from ..sessions import AgentSessionInfo


class Agent:
    """Coding agents in a sandbox: ``sandbox.agent``."""

    def __init__(self, wrapped: _agent.Agent) -> None:
        """Internal: use ``sandbox.agent``."""
        self._wrapped = wrapped

    def start(
        self,
        prompt: str | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
        allowed_tools: Sequence[str] | None = None,
        permission_mode: str | None = None,
        max_turns: int | None = None,
        cwd: str | None = None,
        mcp_servers: Mapping[str, Mapping[str, object]] | None = None,
        on_event: OnAgentEvent | None = None,
        on_error: OnText | None = None,
        *,
        disallowed_tools: Sequence[str] | None = None,
        resume: str | None = None,
        on_exit: OnExit | None = None,
        on_scrollback_end: OnEvent | None = None,
        on_gap: OnGap | None = None,
        on_disconnect: OnDisconnect | None = None,
        on_reconnect: OnEvent | None = None,
        on_hibernate: OnEvent | None = None,
        on_wake: OnEvent | None = None,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> AgentSession:
        """Starts an agent. It lives until it is killed: after each prompt it waits for the next.

        It needs its credentials in the sandbox's ``envs``, such as ``ANTHROPIC_API_KEY``.

        Args:
            prompt: Its first prompt.
            model: Name of the model.
            system_prompt: Its instructions.
            allowed_tools: Tools that it may use.
            permission_mode: Such as ``bypassPermissions``, the default.
            max_turns: Turns of the model within one prompt. Default 50.
            cwd: Its working directory.
            mcp_servers: Programs that provide tools to it: ``{"name": {"command": …, "args": […], "env": {…}}}``.
            on_event: Called with each event. Without it, iterate over the agent.
            on_error: Called with what it prints to stderr, and with lines that are no events.
            disallowed_tools: Tools that it may not use.
            resume: Conversation to go on with: ``claude_session_id`` of a ``turn_complete``.
            on_exit: Called with the exit code.
            on_scrollback_end: Called when all events from before the attachment have been told.
            on_gap: Called with the number of bytes that are missing at this place.
            on_disconnect: Called with the error when the connection is lost, and is being restored.
            on_reconnect: Called when the connection is restored.
            on_hibernate: Called when the sandbox hibernates: input, or any use, wakes it.
            on_wake: Called when it runs again.
            reconnect: How it reconnects; False: not at all. Default: as the sandbox is configured.
            request_timeout: Seconds that the start may take. Default 60.

        Raises:
            InvalidRequestError: A parameter cannot be used.
            LimitError: Too many commands run.
            SandboxStoppedError: The sandbox has ended.

        Example:
            ```python
            agent = sandbox.agent.start(
                "Write a hello world in C and run it",
                on_event=lambda event: print(event.type),
            )
            ```
        """
        with Callbacks(held=True) as callbacks:
            return AgentSession(
                call(
                    self._wrapped.start,
                    prompt,
                    model,
                    system_prompt,
                    allowed_tools,
                    permission_mode,
                    max_turns,
                    cwd,
                    mcp_servers,
                    callbacks.of("on_event", on_event),
                    callbacks.of("on_error", on_error),
                    disallowed_tools=disallowed_tools,
                    resume=resume,
                    on_exit=callbacks.of("on_exit", on_exit),
                    on_scrollback_end=callbacks.of("on_scrollback_end", on_scrollback_end),
                    on_gap=callbacks.of("on_gap", on_gap),
                    on_disconnect=callbacks.of("on_disconnect", on_disconnect),
                    on_reconnect=callbacks.of("on_reconnect", on_reconnect),
                    on_hibernate=callbacks.of("on_hibernate", on_hibernate),
                    on_wake=callbacks.of("on_wake", on_wake),
                    reconnect=reconnect,
                    request_timeout=request_timeout,
                )
            )

    def attach(
        self,
        session_id: str,
        on_event: OnAgentEvent | None = None,
        on_error: OnText | None = None,
        *,
        offset: int = 0,
        on_exit: OnExit | None = None,
        on_scrollback_end: OnEvent | None = None,
        on_gap: OnGap | None = None,
        on_disconnect: OnDisconnect | None = None,
        on_reconnect: OnEvent | None = None,
        on_hibernate: OnEvent | None = None,
        on_wake: OnEvent | None = None,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> AgentSession:
        """Attaches to an agent by its id, with the events so far.

        Args:
            session_id: Of the agent.
            on_event: As for ``start``.
            on_error: As for ``start``.
            offset: Where in the output to begin: ``offset`` of an earlier attachment. 0: all that is kept.
            on_exit: As for ``start``.
            on_scrollback_end: As for ``start``.
            on_gap: As for ``start``.
            on_disconnect: As for ``start``.
            on_reconnect: As for ``start``.
            on_hibernate: As for ``start``.
            on_wake: As for ``start``.
            reconnect: As for ``start``.
            request_timeout: Seconds that the attachment may take. Default 60.

        Raises:
            NotFoundError: No session has this id.

        Example:
            ```python
            again = sandbox.agent.attach(agent.session_id, on_event=print)
            ```
        """
        with Callbacks(held=True) as callbacks:
            return AgentSession(
                call(
                    self._wrapped.attach,
                    session_id,
                    callbacks.of("on_event", on_event),
                    callbacks.of("on_error", on_error),
                    offset=offset,
                    on_exit=callbacks.of("on_exit", on_exit),
                    on_scrollback_end=callbacks.of("on_scrollback_end", on_scrollback_end),
                    on_gap=callbacks.of("on_gap", on_gap),
                    on_disconnect=callbacks.of("on_disconnect", on_disconnect),
                    on_reconnect=callbacks.of("on_reconnect", on_reconnect),
                    on_hibernate=callbacks.of("on_hibernate", on_hibernate),
                    on_wake=callbacks.of("on_wake", on_wake),
                    reconnect=reconnect,
                    request_timeout=request_timeout,
                )
            )

    def list(self, *, request_timeout: float | None = None) -> builtins.list[AgentSessionInfo]:
        """Lists the agents of the sandbox.

        Args:
            request_timeout: Seconds after which it fails.

        Raises:
            SandboxNotFoundError: The sandbox does not exist.

        Example:
            ```python
            agents = [info.session_id for info in sandbox.agent.list()]
            ```
        """
        return call(self._wrapped.list, request_timeout=request_timeout)

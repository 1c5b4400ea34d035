"""A running agent, and the connection to it.

The synchronous form, written by scripts/generate_sync.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .portal import call, iterate, submit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from .. import agent_session as _agent_session
    from ..agent_session import AgentEvent


class AgentSession:
    """A running agent, and the connection to it. It goes on when the connection is closed or lost.

    Get one with ``agent.start`` or ``agent.attach``. Iterate over it where there is no ``on_event``.

    Example:
        ```python
        agent = sandbox.agent.start("Write a hello world in C and run it")
        for event in agent:
            if event.type == "turn_complete":
                agent.kill()
        ```
    """

    def __init__(self, wrapped: _agent_session.AgentSession) -> None:
        """Internal: use ``agent.start`` or ``agent.attach``."""
        self._wrapped = wrapped

    @property
    def session_id(self) -> str:
        """For ``agent.attach``, also from another process."""
        return self._wrapped.session_id

    @property
    def sandbox_id(self) -> str:
        """Where it runs."""
        return self._wrapped.sandbox_id

    @property
    def offset(self) -> int:
        """Offset in the output: ``agent.attach(session_id, offset=…)`` goes on there."""
        return self._wrapped.offset

    @property
    def done(self) -> Future[int]:
        """The same as ``wait()``, as a future."""
        return submit(self._wrapped.wait)

    def wait(self, timeout: float | None = None) -> int:
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
            exit_code = agent.wait()
            ```
        """
        return call(self._wrapped.wait, timeout)

    def send_prompt(self, text: str) -> None:
        """Sends it a prompt; the event ``turn_complete`` says that it is done.

        It returns when the agent has it.

        Args:
            text: The prompt.

        Raises:
            ConflictError: The agent has ended.

        Example:
            ```python
            agent.send_prompt("Now in Rust")
            ```
        """
        call(self._wrapped.send_prompt, text)

    def interrupt(self) -> None:
        """Interrupts the current turn; ``interrupted`` says that it has stopped.

        Raises:
            ConflictError: The agent has ended.

        Example:
            ```python
            agent.interrupt()
            ```
        """
        call(self._wrapped.interrupt)

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
    ) -> None:
        """Changes how it works from the next prompt on.

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
            agent.configure(max_turns=5)
            ```
        """
        call(
            self._wrapped.configure,
            model,
            system_prompt,
            allowed_tools,
            permission_mode,
            max_turns,
            cwd,
            mcp_servers=mcp_servers,
            disallowed_tools=disallowed_tools,
            resume=resume,
        )

    def kill(self, signal: int = 9, *, request_timeout: float | None = None) -> None:
        """Ends it.

        Args:
            signal: Number of the signal; 9 is KILL.
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: The session is not kept any more.

        Example:
            ```python
            agent.kill()
            ```
        """
        call(self._wrapped.kill, signal, request_timeout=request_timeout)

    def close(self) -> None:
        """Detaches from the agent, which goes on.

        Example:
            ```python
            agent.close()
            ```
        """
        call(self._wrapped.close)

    def collect_events(self) -> list[AgentEvent]:
        """Waits for the end of the agent; for agents without ``on_event``.

        Returns:
            All its events.

        Raises:
            ConnectionError: The connection is lost for good.

        Example:
            ```python
            agent.kill()
            events = agent.collect_events()
            ```
        """
        return call(self._wrapped.collect_events)

    def __enter__(self) -> AgentSession:
        return self

    def __exit__(self, *_: object) -> None:
        call(self._wrapped.__aexit__, None, None, None)

    def __iter__(self) -> Iterator[AgentEvent]:
        """The events, one by one, until the agent ends; for agents without ``on_event``."""
        return iterate(self._wrapped.__aiter__)

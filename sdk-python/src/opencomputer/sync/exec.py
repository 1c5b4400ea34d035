"""Runs commands in a sandbox.

The synchronous form, written by scripts/generate_sync.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .exec_session import ExecSession
from .portal import Callbacks, call
from .shell import Shell

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence

    from .. import exec as _exec
    from ..config import Reconnect
    from ..exec_session import OnData, OnDisconnect, OnEvent, OnExit, OnGap
    from ..run import ProcessResult
    from ..sessions import ExecSessionInfo


class Exec:
    """Runs commands in a sandbox: ``sandbox.exec``."""

    def __init__(self, wrapped: _exec.Exec) -> None:
        """Internal: use ``sandbox.exec``."""
        self._wrapped = wrapped

    def run(
        self,
        command: str,
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        *,
        log: bool = True,
        listed: bool = True,
        wait_timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> ProcessResult:
        """Runs a line of shell (``sh -c``) as user ``sandbox`` and waits for its end.

        A command that fails is not an error: look at ``exit_code``. Survives a restart of the server.

        Args:
            command: The line, e.g. ``npm test && echo passed``.
            timeout: Seconds until the command is killed (exit code -1).
            env: Environment variables of this command; they override those of the sandbox.
            cwd: Working directory. Default ``/home/sandbox``.
            log: False: it is kept out of the logs of the sandbox.
            listed: False: ``exec.list`` leaves it out, for a tool's internal commands. Its id works all the same.
            wait_timeout: Seconds to wait; then ``ExecTimeoutError``, while the command goes on. Default: until it
                ends.
            request_timeout: Seconds that each HTTP request may take. Default 60 to start, 15 to poll.

        Raises:
            ExecTimeoutError: ``wait_timeout`` has passed; the command goes on.
            InvalidRequestError: It cannot start, e.g. because ``cwd`` does not exist.
            SandboxStoppedError: The sandbox has ended.
            SandboxNotFoundError: It does not exist.
            LimitError: Too many commands run.

        Example:
            ```python
            result = sandbox.exec.run("python3 --version", cwd="/tmp", timeout=30)
            print(result.exit_code, result.stdout)
            ```
        """
        return call(
            self._wrapped.run,
            command,
            timeout,
            env,
            cwd,
            log=log,
            listed=listed,
            wait_timeout=wait_timeout,
            request_timeout=request_timeout,
        )

    def wait(
        self, exec_id: str | None, *, wait_timeout: float | None = None, request_timeout: float | None = None
    ) -> ProcessResult:
        """Waits for a command that ``run`` stopped waiting for. The results of the newest commands are kept.

        Args:
            exec_id: From ``ExecTimeoutError.exec_id``. Refused when that is None: nothing is known to wait for.
            wait_timeout: Seconds to wait; then ``ExecTimeoutError``. Default: until the command ends.
            request_timeout: Seconds that each HTTP request may take. Default 15.

        Raises:
            NotFoundError: No command has this id or its result is no longer kept (``result_not_kept``).
            ExecTimeoutError: ``wait_timeout`` has passed; the command goes on.

        Example:
            ```python
            try:
                sandbox.exec.run("sleep 3; echo late", wait_timeout=0.5)
            except ExecTimeoutError as error:
                result = sandbox.exec.wait(error.exec_id)
            ```
        """
        return call(self._wrapped.wait, exec_id, wait_timeout=wait_timeout, request_timeout=request_timeout)

    def start(
        self,
        command: str,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float | None = None,
        max_run_after_disconnect: float | None = None,
        on_stdout: OnData | None = None,
        on_stderr: OnData | None = None,
        on_exit: OnExit | None = None,
        on_scrollback_end: OnEvent | None = None,
        *,
        log: bool = True,
        listed: bool = True,
        on_gap: OnGap | None = None,
        on_disconnect: OnDisconnect | None = None,
        on_reconnect: OnEvent | None = None,
        on_hibernate: OnEvent | None = None,
        on_wake: OnEvent | None = None,
        keep_awake: bool | None = None,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> ExecSession:
        """Starts a command and attaches to it: its output as it comes, its input, its end.

        The command goes on when the connection is lost, and the session reconnects by itself.

        Args:
            command: An executable, or without ``args`` a line of shell.
            args: Its arguments.
            env: Environment variables of this command; they override those of the sandbox.
            cwd: Working directory. Default ``/home/sandbox``.
            timeout: Seconds until the command is killed (exit code -1). Default: never.
            max_run_after_disconnect: Seconds after which it is killed when nobody is attached. Default: never.
            on_stdout: Called with output, as bytes.
            on_stderr: Likewise.
            on_exit: Called with the exit code; -1 when the session was closed or lost.
            on_scrollback_end: Called when all output from before the attachment has been delivered.
            log: False: it is kept out of the logs of the sandbox.
            listed: False: ``exec.list`` leaves it out, for a tool's internal commands. Its id works all the same.
            on_gap: Called with the number of bytes that are missing at this place.
            on_disconnect: Called with the error when the connection is lost, and is being restored.
            on_reconnect: Called when the connection is restored.
            on_hibernate: Called when the sandbox hibernates: input, or any use, wakes it.
            on_wake: Called when it runs again.
            keep_awake: False: a service in the background, which does not keep the sandbox from hibernating. Default
                True: the sandbox is in use until the command ends, even if it prints nothing.
            reconnect: How it reconnects; False: not at all. Default: as the sandbox is configured.
            request_timeout: Seconds that the start may take. Default 60.

        Raises:
            InvalidRequestError: It cannot start.
            LimitError: Too many commands run.
            SandboxStoppedError: The sandbox has ended.
            ConnectionError: The server cannot be reached; ``details["sessionId"]`` names the session if it had started.

        Example:
            ```python
            build = sandbox.exec.start("make", ["-j4"], cwd="/app", on_stdout=sys.stdout.buffer.write)
            exit_code = build.wait()
            ```
        """
        with Callbacks(held=True) as callbacks:
            return ExecSession(
                call(
                    self._wrapped.start,
                    command,
                    args,
                    env,
                    cwd,
                    timeout,
                    max_run_after_disconnect,
                    callbacks.of("on_stdout", on_stdout),
                    callbacks.of("on_stderr", on_stderr),
                    callbacks.of("on_exit", on_exit),
                    callbacks.of("on_scrollback_end", on_scrollback_end),
                    log=log,
                    listed=listed,
                    on_gap=callbacks.of("on_gap", on_gap),
                    on_disconnect=callbacks.of("on_disconnect", on_disconnect),
                    on_reconnect=callbacks.of("on_reconnect", on_reconnect),
                    on_hibernate=callbacks.of("on_hibernate", on_hibernate),
                    on_wake=callbacks.of("on_wake", on_wake),
                    keep_awake=keep_awake,
                    reconnect=reconnect,
                    request_timeout=request_timeout,
                )
            )

    def background(
        self,
        command: str,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float | None = None,
        max_run_after_disconnect: float | None = None,
        on_stdout: OnData | None = None,
        on_stderr: OnData | None = None,
        on_exit: OnExit | None = None,
        *,
        keep_awake: bool | None = None,
    ) -> ExecSession:
        """The same as ``start``.

        Args:
            command: As for ``start``.
            args: As for ``start``.
            env: As for ``start``.
            cwd: As for ``start``.
            timeout: As for ``start``.
            max_run_after_disconnect: As for ``start``.
            on_stdout: As for ``start``.
            on_stderr: As for ``start``.
            on_exit: As for ``start``.
            keep_awake: As for ``start``.

        Example:
            ```python
            server = sandbox.exec.background("python3 -m http.server 8000")
            server.kill()
            ```
        """
        with Callbacks(held=True) as callbacks:
            return ExecSession(
                call(
                    self._wrapped.background,
                    command,
                    args,
                    env,
                    cwd,
                    timeout,
                    max_run_after_disconnect,
                    callbacks.of("on_stdout", on_stdout),
                    callbacks.of("on_stderr", on_stderr),
                    callbacks.of("on_exit", on_exit),
                    keep_awake=keep_awake,
                )
            )

    def attach(
        self,
        session_id: str,
        on_stdout: OnData | None = None,
        on_stderr: OnData | None = None,
        on_exit: OnExit | None = None,
        on_scrollback_end: OnEvent | None = None,
        *,
        offset: int = 0,
        on_gap: OnGap | None = None,
        on_disconnect: OnDisconnect | None = None,
        on_reconnect: OnEvent | None = None,
        on_hibernate: OnEvent | None = None,
        on_wake: OnEvent | None = None,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> ExecSession:
        """Attaches to a command by its id: its earlier output (the newest 1 MiB is kept), then new output as it comes.

        Any number of clients may be attached, and all may write to its input. A command that has ended is replayed
        with its end.

        Args:
            session_id: From ``session.session_id``, ``exec.list`` or ``ExecTimeoutError.exec_id``.
            on_stdout: As for ``start``.
            on_stderr: As for ``start``.
            on_exit: As for ``start``.
            on_scrollback_end: As for ``start``.
            offset: Where to begin in all output ever printed, both streams counted together:
                ``session.offset`` of an earlier attachment. 0: all that is kept.
            on_gap: As for ``start``.
            on_disconnect: As for ``start``.
            on_reconnect: As for ``start``.
            on_hibernate: As for ``start``.
            on_wake: As for ``start``.
            reconnect: As for ``start``.
            request_timeout: Seconds that the attachment may take. Default 60.

        Raises:
            NotFoundError: No command has this id, or nothing of it is kept any more.

        Example:
            ```python
            again = sandbox.exec.attach(session.session_id, on_stdout=sys.stdout.buffer.write)
            ```
        """
        with Callbacks(held=True) as callbacks:
            return ExecSession(
                call(
                    self._wrapped.attach,
                    session_id,
                    callbacks.of("on_stdout", on_stdout),
                    callbacks.of("on_stderr", on_stderr),
                    callbacks.of("on_exit", on_exit),
                    callbacks.of("on_scrollback_end", on_scrollback_end),
                    offset=offset,
                    on_gap=callbacks.of("on_gap", on_gap),
                    on_disconnect=callbacks.of("on_disconnect", on_disconnect),
                    on_reconnect=callbacks.of("on_reconnect", on_reconnect),
                    on_hibernate=callbacks.of("on_hibernate", on_hibernate),
                    on_wake=callbacks.of("on_wake", on_wake),
                    reconnect=reconnect,
                    request_timeout=request_timeout,
                )
            )

    def list(self, *, request_timeout: float | None = None) -> builtins.list[ExecSessionInfo]:
        """Lists the commands that run, and the newest sessions that have ended.

        Args:
            request_timeout: Seconds after which it fails.

        Raises:
            SandboxNotFoundError: The sandbox does not exist.

        Example:
            ```python
            running = [info.command for info in sandbox.exec.list() if info.running]
            ```
        """
        return call(self._wrapped.list, request_timeout=request_timeout)

    def kill(self, session_id: str, signal: int = 9, *, request_timeout: float | None = None) -> None:
        """Sends a signal to a command and its children.

        Args:
            session_id: The command.
            signal: Its number; 9 is KILL.
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: No command has this id.

        Example:
            ```python
            sandbox.exec.kill(session.session_id, 15)
            ```
        """
        call(self._wrapped.kill, session_id, signal, request_timeout=request_timeout)

    def shell(
        self,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        *,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> Shell:
        """Starts a bash that keeps its directory, variables and functions from one ``run`` to the next.

        Args:
            cwd: Directory in which it starts. Default ``/home/sandbox``.
            env: Environment variables of the shell and of all that it runs.
            reconnect: As for ``start``.
            request_timeout: Seconds that the start may take. Default 60.

        Raises:
            InvalidRequestError: ``cwd`` does not exist.
            SandboxStoppedError: The sandbox has ended.

        Example:
            ```python
            with sandbox.exec.shell(cwd="/tmp") as shell:
                shell.run("export MODE=test")
                print((shell.run("echo $MODE in $PWD")).stdout)
            ```
        """
        return Shell(call(self._wrapped.shell, cwd, env, reconnect=reconnect, request_timeout=request_timeout))

    def reattach_shell(
        self,
        session_id: str,
        *,
        reconnect: Reconnect | Literal[False] | None = None,
        request_timeout: float | None = None,
    ) -> Shell:
        """Attaches to a shell by its id, e.g. from another process. Nothing may run in it at that time.

        Args:
            session_id: Of the shell.
            reconnect: As for ``start``.
            request_timeout: Seconds that the attachment may take. Default 60.

        Raises:
            NotFoundError: No session has this id.

        Example:
            ```python
            shell = sandbox.exec.reattach_shell(session.session_id)
            ```
        """
        return Shell(
            call(self._wrapped.reattach_shell, session_id, reconnect=reconnect, request_timeout=request_timeout)
        )

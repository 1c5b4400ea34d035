"""A bash that keeps its directory, variables and functions from one command to the next.

The synchronous form, written by scripts/generate_sync.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .portal import Callbacks, call

if TYPE_CHECKING:
    from .. import shell as _shell
    from ..exec_session import OnData
    from ..run import ProcessResult


class Shell:
    """A bash that keeps its directory, variables and functions from one ``run`` to the next.

    Get one with ``exec.shell``. It runs one command at a time. A command that calls ``exit`` closes it, and so
    does one whose syntax is wrong.

    Example:
        ```python
        shell = sandbox.exec.shell()
        shell.run("cd /tmp && export NAME=value")
        result = shell.run("echo $NAME in $PWD")
        shell.close()
        ```
    """

    def __init__(self, wrapped: _shell.Shell) -> None:
        """Internal: use ``exec.shell`` or ``exec.reattach_shell``."""
        self._wrapped = wrapped

    @property
    def session_id(self) -> str:
        """For ``exec.reattach_shell``, also from another process."""
        return self._wrapped.session_id

    def run(
        self,
        command: str,
        on_stdout: OnData | None = None,
        on_stderr: OnData | None = None,
        *,
        wait_timeout: float | None = None,
    ) -> ProcessResult:
        """Runs a command in this shell and waits for its end. Of each stream the newest 8 MiB are kept.

        Args:
            command: One or more lines for bash.
            on_stdout: Called with output as it comes.
            on_stderr: Likewise.
            wait_timeout: Seconds to wait; then the command goes on, and the shell is busy until it ends. The
                same holds when the call is cancelled. Default: until the command ends.

        Raises:
            ShellBusyError: Another command runs.
            ShellClosedError: The shell has ended, also because the command ended it.
            TimeoutError: ``wait_timeout`` has passed.

        Example:
            ```python
            result = shell.run("make", on_stdout=sys.stdout.buffer.write)
            ```
        """
        with Callbacks(held=False) as callbacks:
            return call(
                self._wrapped.run,
                command,
                callbacks.of("on_stdout", on_stdout),
                callbacks.of("on_stderr", on_stderr),
                wait_timeout=wait_timeout,
            )

    def close(self) -> None:
        """Makes the shell exit after the command that it runs, if any, and waits for that.

        Example:
            ```python
            shell.close()
            ```
        """
        call(self._wrapped.close)

    def kill(self, signal: int = 9, *, request_timeout: float | None = None) -> None:
        """Sends a signal to the shell and what it runs.

        Args:
            signal: Its number; 9 is KILL.
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: The session is not kept any more.

        Example:
            ```python
            shell.kill()
            ```
        """
        call(self._wrapped.kill, signal, request_timeout=request_timeout)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        call(self._wrapped.__aexit__, None, None, None)

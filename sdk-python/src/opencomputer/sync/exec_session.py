"""A running command, and the connection to it.

The synchronous form, written by scripts/generate_sync.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .portal import call, iterate, submit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from .. import exec_session as _exec_session
    from ..exec_session import ExecOutput


class ExecSession:
    """A running command, and the connection to it. The command goes on when the connection is closed or lost.

    Get one with ``exec.start`` or ``exec.attach``. Callbacks are called one after the other, in the order of
    the events, in another thread, where they may use this package; a slow one makes the command wait. Exceptions
    of a callback are logged.

    Example:
        ```python
        session = sandbox.exec.start("sort", on_stdout=sys.stdout.buffer.write)
        session.send_stdin("b\\na\\n")
        session.close_stdin()
        exit_code = session.wait()
        ```
    """

    def __init__(self, wrapped: _exec_session.ExecSession) -> None:
        """Internal: use ``exec.start`` or ``exec.attach``."""
        self._wrapped = wrapped

    @property
    def session_id(self) -> str:
        """For ``exec.attach``, also from another process."""
        return self._wrapped.session_id

    @property
    def sandbox_id(self) -> str:
        """Where it runs."""
        return self._wrapped.sandbox_id

    @property
    def offset(self) -> int:
        """Offset of the next byte in all output: ``exec.attach(session_id, offset=…)`` goes on there."""
        return self._wrapped.offset

    @property
    def done(self) -> Future[int]:
        """The same as ``wait()``, as a future."""
        return submit(self._wrapped.wait)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end of the command, or of the attachment.

        Args:
            timeout: Seconds to wait; the command goes on afterwards. Default: until it ends.

        Returns:
            The exit code: 128 + n when signal n killed the command, -1 when it ran into ``timeout`` of
            ``exec.start`` or the session was closed here.

        Raises:
            ConnectionError: The connection is lost for good.
            TimeoutError: ``timeout`` has passed.

        Example:
            ```python
            exit_code = session.wait()
            ```
        """
        return call(self._wrapped.wait, timeout)

    def send_stdin(self, data: str | bytes) -> None:
        """Writes to the command's standard input.

        It returns when the session has accepted the bytes. Nothing is lost or repeated when the connection breaks
        meanwhile.

        Args:
            data: Bytes, or text that is sent as UTF-8.

        Raises:
            ConflictError: The command has ended or the session is closed.
            LimitError: More than 16 MiB wait for the command to read them.

        Example:
            ```python
            session.send_stdin("yes\\n")
            ```
        """
        call(self._wrapped.send_stdin, data)

    def close_stdin(self) -> None:
        """Ends the command's standard input, after all that was sent.

        Raises:
            ConflictError: The command has ended or the session is closed.

        Example:
            ```python
            session.close_stdin()
            ```
        """
        call(self._wrapped.close_stdin)

    def kill(self, signal: int = 9, *, request_timeout: float | None = None) -> None:
        """Sends a signal to the command and its children.

        Args:
            signal: Its number; 9 is KILL.
            request_timeout: Seconds after which it fails.

        Raises:
            NotFoundError: The session is not kept any more.

        Example:
            ```python
            session.kill(15)
            ```
        """
        call(self._wrapped.kill, signal, request_timeout=request_timeout)

    def close(self) -> None:
        """Detaches from the command, which goes on. ``wait`` then returns -1.

        Example:
            ```python
            session.close()
            ```
        """
        call(self._wrapped.close)

    def __enter__(self) -> ExecSession:
        return self

    def __exit__(self, *_: object) -> None:
        call(self._wrapped.__aexit__, None, None, None)

    def __iter__(self) -> Iterator[ExecOutput]:
        """The output, piece by piece, until the command ends. A slow loop makes the command wait.

        Of output from before the loop the newest 1 MiB is kept.
        """
        return iterate(self._wrapped.__aiter__)

"""What goes wrong, as types: catch a class to act on it, or read ``code``."""

from __future__ import annotations

import builtins
from typing import Any

__all__ = [
    "AuthenticationError",
    "CapacityError",
    "ConflictError",
    "ConnectionError",
    "ExecTimeoutError",
    "FileNotFoundError",
    "InvalidRequestError",
    "LimitError",
    "NotFoundError",
    "OpenComputerError",
    "SandboxNotFoundError",
    "SandboxStoppedError",
    "ServerError",
    "ShellBusyError",
    "ShellClosedError",
    "TimeoutError",
]


class OpenComputerError(Exception):
    """The base class of all errors of this package. The message says what happened and what to do.

    It ends with the HTTP status and the request, where there are any: ``[HTTP 404, request 6f1c]``.

    Attributes:
        code: Stable name of the cause, such as ``sandbox_not_found``.
        status: HTTP status of the answer; None when there was none.
        hint: What to do about it.
        request_id: Id of the request in the server's log.
        retry_after: Seconds after which the request may be sent again.
        details: Further details from the server, such as ``{"limit": 4}``.

    Example:
        ```python
        try:
            await sandbox.files.read("/app/data.json")
        except FileNotFoundError:
            await sandbox.files.write("/app/data.json", "{}")
        ```
    """

    code: str
    status: int | None
    hint: str
    request_id: str | None
    retry_after: float | None
    details: dict[str, Any]

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        hint: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        told = [] if status is None else [f"HTTP {status}"]
        told += [] if request_id is None else [f"request {request_id}"]
        origin = f" [{', '.join(told)}]" if told else ""
        super().__init__(f"{message}. {hint}{origin}" if hint else f"{message}{origin}")
        self.code = code
        self.status = status
        self.hint = hint
        self.request_id = request_id
        self.retry_after = retry_after
        self.details = {} if details is None else details


class AuthenticationError(OpenComputerError):
    """The key is missing, unknown or revoked. Set another one."""


class InvalidRequestError(OpenComputerError):
    """The request, or a parameter, is invalid. Correct it."""


class ConflictError(OpenComputerError):
    """The object is in a state that does not allow this. Read its state and decide again."""


class NotFoundError(OpenComputerError):
    """The object does not exist."""


class SandboxNotFoundError(NotFoundError):
    """No sandbox of yours has this id."""


class FileNotFoundError(NotFoundError, builtins.FileNotFoundError):
    """The file or directory does not exist in the sandbox. Also the built-in error of this name."""


class SandboxStoppedError(OpenComputerError):
    """The sandbox has ended. Create a new one."""


class LimitError(OpenComputerError):
    """You have, or send, more than allowed. Free something or send less."""


class CapacityError(LimitError):
    """The host or a disk is full. Free something, ask for less, or try again later."""


class TimeoutError(OpenComputerError, builtins.TimeoutError):
    """Something took longer than allowed; the message names the parameter that allows more.

    Also the built-in error of this name.
    """


class ExecTimeoutError(TimeoutError):
    """``exec.run`` or ``exec.wait`` stopped waiting; the command itself goes on.

    Attributes:
        exec_id: Id of the command, for ``exec.wait``; None when the server had not sent it yet.
    """

    exec_id: str | None

    def __init__(self, message: str, *, exec_id: str | None, hint: str) -> None:
        super().__init__(message, code="exec_timeout", hint=hint)
        self.exec_id = exec_id


class ConnectionError(OpenComputerError, builtins.ConnectionError):
    """The server could not be reached, or the connection broke. Also the built-in error of this name.

    Attributes:
        request_sent: False when the server has certainly not seen the request.
    """

    request_sent: bool

    def __init__(
        self,
        message: str,
        *,
        code: str,
        hint: str,
        request_sent: bool,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, details=details)
        self.request_sent = request_sent


class ServerError(OpenComputerError):
    """Something failed on the server. Try later; its log names the request by ``request_id``."""


class ShellBusyError(ConflictError):
    """Another command runs in the shell. Wait for it, or open another shell."""

    def __init__(self) -> None:
        super().__init__(
            "the shell runs another command",
            code="shell_busy",
            hint="Await that command first, or open another shell with exec.shell()",
        )


class ShellClosedError(ConflictError):
    """The shell has ended: it was closed, a command called ``exit``, or it was killed. Open another one."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the shell is closed: {reason}",
            code="shell_closed",
            hint="Open another one with exec.shell()",
        )


def invalid_option(message: str, hint: str) -> InvalidRequestError:
    """The error for an invalid parameter; nothing has been sent."""
    return InvalidRequestError(message, code="invalid_option", hint=hint)


def unexpected_answer(message: str, *, status: int | None = None) -> ServerError:
    """The error for an answer that no server of this API gives."""
    return ServerError(
        message,
        code="unexpected_answer",
        status=status,
        hint="Check that api_url is the address of an OpenComputer server.",
    )

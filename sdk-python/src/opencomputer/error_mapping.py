"""The error for each answer, and for each failure without one."""

from __future__ import annotations

import errno
import json
import math
import re
import socket
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from .errors import (
    AuthenticationError,
    CapacityError,
    ConflictError,
    ConnectionError,
    FileNotFoundError,
    InvalidRequestError,
    LimitError,
    NotFoundError,
    OpenComputerError,
    SandboxNotFoundError,
    SandboxStoppedError,
    ServerError,
    TimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

class_of_code: dict[str, type[OpenComputerError]] = {
    "invalid_request": InvalidRequestError,
    "invalid_json": InvalidRequestError,
    "unsupported": InvalidRequestError,
    "invalid_path": InvalidRequestError,
    "is_directory": InvalidRequestError,
    "not_directory": InvalidRequestError,
    "not_regular_file": InvalidRequestError,
    "checkpoint_not_ready": ConflictError,
    "too_many_checkpoints": LimitError,
    "unauthorized": AuthenticationError,
    "forbidden": InvalidRequestError,
    "signature_invalid": InvalidRequestError,
    "not_found": NotFoundError,
    "sandbox_not_found": SandboxNotFoundError,
    "template_not_found": NotFoundError,
    "file_not_found": FileNotFoundError,
    "exec_not_found": NotFoundError,
    "result_not_kept": NotFoundError,
    "checkpoint_not_found": NotFoundError,
    "patch_not_found": NotFoundError,
    "method_not_allowed": InvalidRequestError,
    "name_taken": ConflictError,
    "conflict": ConflictError,
    "busy": ConflictError,
    "session_ended": ConflictError,
    "not_terminal": ConflictError,
    "unsupported_guest": ConflictError,
    "sandbox_stopped": SandboxStoppedError,
    "too_large": LimitError,
    "command_not_started": InvalidRequestError,
    "too_many_sandboxes": LimitError,
    "too_many_commands": LimitError,
    "internal": ServerError,
    "guest_failed": ServerError,
    "snapshot_failed": ServerError,
    "snapshot_damaged": ServerError,
    "creation_failed": ServerError,
    "start_failed": ServerError,
    "no_capacity": CapacityError,
    "worker_unavailable": ServerError,
    "shutting_down": ServerError,
    "worker_timeout": TimeoutError,
    "guest_timeout": TimeoutError,
    "no_space": CapacityError,
}

# Hints for this package instead of the server's, which are about HTTP.
_own_hints = {
    "unauthorized": "Pass api_key or set OPENCOMPUTER_API_KEY to a valid key of this server.",
    "sandbox_not_found": "Sandbox.list() shows the sandboxes of this key.",
    "sandbox_stopped": "Create a new one with Sandbox.create().",
    "checkpoint_not_found": "sandbox.list_checkpoints() shows those of a sandbox, Sandbox.list_all_checkpoints() all.",
    "too_many_checkpoints": 'Delete one, or pass retention_policy=RetentionPolicy("delete_oldest").',
    "is_directory": "Use files.list() for a directory, or name a file inside it.",
    "not_found": "Check that api_url is the address of an OpenComputer server.",
}


def _class_of_status(status: int) -> type[OpenComputerError]:
    """Class of an answer without a known code, as proxies and older servers send."""
    by_status: dict[int, type[OpenComputerError]] = {
        401: AuthenticationError,
        403: AuthenticationError,
        404: NotFoundError,
        408: TimeoutError,
        409: ConflictError,
        410: SandboxStoppedError,
        413: LimitError,
        429: LimitError,
        504: TimeoutError,
        507: CapacityError,
    }
    return by_status.get(status, ServerError if status >= 500 else InvalidRequestError)


def error_from_answer(status: int, headers: Mapping[str, str], body: str) -> OpenComputerError:
    """The error for an unsuccessful answer."""
    told = _parse_object(body)
    error, code, hint, request_id = (told.pop(name, None) for name in ("error", "code", "hint", "requestId"))
    known = code if isinstance(code, str) and code in class_of_code else None
    kind = _class_of_status(status) if known is None else class_of_code[known]
    text = error if isinstance(error, str) and error else _plain_text(body)
    own_hint = None if known is None else _own_hints.get(known)
    return kind(
        re.sub(r"\.\s*$", "", text) or f"the server answered {status}",
        code=code if isinstance(code, str) else _fallback_code(status),
        status=status,
        hint=own_hint or (hint if isinstance(hint, str) else ""),
        request_id=headers.get("x-request-id") or (request_id if isinstance(request_id, str) else None),
        retry_after=_retry_after(headers),
        details=told,
    )


def error_from_redirect(url: str, status: int, location: str | None) -> OpenComputerError:
    """A redirect is not followed: the key would be sent to any host that it names."""
    return InvalidRequestError(
        f"{origin(url)} redirects to {location or 'nowhere'}",
        code="unexpected_answer",
        status=status,
        hint="Set api_url (or OPENCOMPUTER_API_URL) to the final address.",
    )


def error_from_failure(url: str, failure: BaseException, *, connecting: bool) -> ConnectionError:
    """The error for a request, or the body of an answer, that was cut off."""
    causes = list(_causes(failure))
    name = next((name for name in map(_system_code, causes) if name), "")
    reason = next((str(cause) for cause in causes if str(cause)), type(failure).__name__)
    details = {"systemCode": name}
    if connecting:
        return ConnectionError(
            f"cannot connect to {origin(url)} ({reason})",
            code="connection_failed",
            hint="Start the server there, or set api_url (OPENCOMPUTER_API_URL) to where it runs.",
            details=details,
            request_sent=False,
        )
    return ConnectionError(
        f"the connection to {origin(url)} broke ({reason})",
        code="connection_lost",
        hint="The request may have been carried out; look at the state before you repeat it.",
        details=details,
        request_sent=True,
    )


def origin(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    # Libraries wrap the system's error several times.
    seen: set[int] = set()
    while failure is not None and id(failure) not in seen:
        seen.add(id(failure))
        yield failure
        group = getattr(failure, "exceptions", None)
        for member in cast("tuple[BaseException, ...]", group or ()):
            yield from _causes(member)
        failure = failure.__cause__ or failure.__context__


def _system_code(failure: BaseException) -> str:
    if isinstance(failure, socket.gaierror):
        return "EAI_AGAIN" if failure.errno == socket.EAI_AGAIN else "ENOTFOUND"
    if isinstance(failure, OSError) and failure.errno is not None:
        return errno.errorcode.get(failure.errno, "")
    return ""


def _parse_object(body: str) -> dict[str, Any]:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        # Proxies answer HTML or text; the caller falls back to the status and the text.
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _fallback_code(status: int) -> str:
    return "unexpected_answer" if 300 <= status < 400 else f"http_{status}"


def _plain_text(body: str) -> str:
    text = body.strip()
    return "" if text[:1] in ("<", "{", "[") else text[:300]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None

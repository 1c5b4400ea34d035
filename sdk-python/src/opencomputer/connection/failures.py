"""Errors of connections to sessions."""

from __future__ import annotations

from ..errors import ConflictError, ConnectionError, InvalidRequestError, OpenComputerError, ServerError

# Close codes with which a server refuses what this client sent; to reconnect would only send it again.
_refusals = {1002, 1003, 1007, 1008, 1009}


def close_error(session_id: str, code: int, reason: str) -> OpenComputerError:
    """The error for a socket that closed before the command ended."""
    text = f"close code {code}: {reason}" if reason else f"close code {code}"
    details = {"sessionId": session_id, "closeCode": code}
    if code in _refusals:
        message = f"the server ended the connection to session {session_id} ({text})"
        return InvalidRequestError(message, code="session_refused", details=details)
    return ConnectionError(
        f"the connection to session {session_id} broke ({text})",
        code="connection_lost",
        hint="The session goes on; attach to it again.",
        details=details,
        request_sent=True,
    )


def lost_for_good(session_id: str, offset: int, timeout: float, last: BaseException) -> ConnectionError:
    """The error of a session that could not reconnect."""
    return ConnectionError(
        f"no connection to session {session_id} for {timeout:g} s: {last}",
        code="connection_lost",
        hint=f"The session may go on; attach('{session_id}', offset={offset}) continues when the server is back",
        details={"sessionId": session_id, "offset": offset},
        request_sent=True,
    )


def broken_frame(session_id: str, cause: ValueError) -> ServerError:
    """The error for a frame that no server of this protocol sends."""
    return ServerError(
        f"the server sent a broken frame for session {session_id}: {cause}",
        code="unexpected_answer",
        hint="Check that server and client are of versions that fit together.",
    )


def unexpected_failure(session_id: str, cause: Exception) -> OpenComputerError:
    """The error for a connection that ended for an unexpected reason."""
    error = OpenComputerError(
        f"the connection to session {session_id} failed: {cause!r}",
        code="client_failed",
        hint="The session goes on; attach to it again. The traceback below is of use to us.",
        details={"sessionId": session_id},
    )
    error.__cause__ = cause
    return error


def no_input(session_id: str, why: str) -> ConflictError:
    """The error for input to a session that takes no more."""
    return ConflictError(
        f"session {session_id} {why} and takes no input",
        code="session_ended",
        hint="Start another one.",
        details={"sessionId": session_id},
    )

"""Opens the socket of a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from ..deadline import Deadline, Expired
from ..error_mapping import error_from_answer, error_from_failure, error_from_redirect, origin
from ..errors import ConnectionError, OpenComputerError
from ..http import Request, timeout_error
from .failures import broken_frame, close_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..http import HttpClient

# Servers send frames of 64 KiB at most.
_longest_message = 2 * 1024 * 1024
# Close codes with which this side has ended the connection because of an invalid message.
_our_refusals = {1002, 1007, 1009}


@dataclass(frozen=True)
class SessionAddress:
    """The address of a session's socket; ``path`` is below ``/api``."""

    http: HttpClient
    session_id: str
    path: str


class _Connect(connect):
    """Follows no redirect: the key would be sent to any host that it names."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_socket(
    address: SessionAddress, query: Mapping[str, str], timeout: float | None
) -> tuple[ClientConnection, str | bytes]:
    """Opens the socket, and waits for the first message, which means that the session exists.

    Raises:
        OpenComputerError: The typed error of the server's refusal.
        ConnectionError: The server cannot be reached.
        TimeoutError: It took longer than ``timeout`` seconds.
    """
    http = address.http
    limit = http.limit(timeout)
    url = f"ws{http.api_url.removeprefix('http')}{address.path}?{urlencode(query)}"
    opening = _Connect(
        url,
        additional_headers=http.auth_headers(),
        user_agent_header="opencomputer-python",
        compression=None,
        max_size=_longest_message,
        open_timeout=None,
        ping_interval=None,
        close_timeout=2,
    )
    socket: ClientConnection | None = None
    try:
        async with Deadline(limit):
            try:
                socket = await opening
                return socket, await socket.recv()
            except (OSError, WebSocketException, EOFError) as failure:
                raise _refusal(address, failure, opened=socket is not None) from failure
            except BaseException:
                if socket is not None:
                    socket.transport.abort()
                raise
    except Expired:
        raise timeout_error(Request("GET", address.path), limit) from None


def _refusal(address: SessionAddress, failure: Exception, *, opened: bool) -> OpenComputerError:
    url = address.http.api_url
    if isinstance(failure, InvalidStatus):
        response = failure.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        if 300 <= response.status_code < 400:
            return error_from_redirect(url, response.status_code, headers.get("location"))
        body = bytes(response.body or b"").decode("utf-8", "replace")
        return error_from_answer(response.status_code, headers, body)
    if isinstance(failure, ConnectionClosed):
        return closed_error(address.session_id, failure)
    if isinstance(failure, InvalidHandshake):
        return ConnectionError(
            f"a WebSocket to {origin(url)} could not be opened: {failure}",
            code="connection_failed",
            hint="A proxy on the way must let WebSocket upgrades pass.",
            request_sent=True,
        )
    return error_from_failure(url, failure, connecting=not opened and isinstance(failure, OSError))


def closed_error(session_id: str, failure: ConnectionClosed) -> OpenComputerError:
    """The error for the end of a socket."""
    if failure.rcvd is None:
        if failure.sent is not None and failure.sent.code in _our_refusals:
            return broken_frame(session_id, ValueError(failure.sent.reason))
        return close_error(session_id, 1006, "")
    return close_error(session_id, failure.rcvd.code, failure.rcvd.reason)

"""Requests to one server with one key; used by everything that calls it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import httpx

from . import check
from .config import Connection, Reconnect, resolve_connection
from .deadline import Deadline, Expired
from .error_mapping import error_from_answer, error_from_failure, error_from_redirect
from .errors import OpenComputerError, TimeoutError, unexpected_answer
from .pool import PoolUser
from .retry import retry_pause

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

    from .upload import Upload

T = TypeVar("T")

_default_timeout = 60.0


@dataclass(frozen=True)
class Request:
    """One call of the API.

    Attributes:
        path: Below ``/api``, with encoded segments.
        json: The body; members that are None are left out.
        timeout: The caller's limit in seconds, None for the default.
        default_timeout: Where it is not the usual one.
        retry: False where the caller itself retries.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    query: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    json: Mapping[str, object] | None = None
    upload: Upload | None = None
    timeout: float | None = None
    default_timeout: float = _default_timeout
    retry: bool = True


@dataclass(frozen=True)
class OpenAnswer:
    """A successful answer whose body has not been read."""

    response: httpx.Response
    deadline: Deadline


class HttpClient:
    """Sends requests, again where that is safe, and turns failures into errors of this package."""

    def __init__(self, connection: Connection) -> None:
        """Connects to nothing yet."""
        self.connection = connection
        self._pool = PoolUser(encrypted=connection.api_url.startswith("https:"))

    @property
    def api_url(self) -> str:
        """Ends in ``/api``."""
        return self.connection.api_url

    @property
    def reconnect(self) -> Reconnect | Literal[False]:
        """How sessions come back."""
        return self.connection.reconnect

    def auth_headers(self) -> dict[str, str]:
        """Headers that identify the caller."""
        return {"X-API-Key": self.connection.api_key} if self.connection.api_key else {}

    def limit(self, timeout: float | None, default: float = _default_timeout) -> float:
        """Seconds that one attempt may take; 0 means no limit."""
        limit = check.optional(check.seconds, "request_timeout", timeout)
        if limit is None:
            limit = self.connection.request_timeout
        return default if limit is None else limit

    async def close(self) -> None:
        """Releases its connections."""
        await self._pool.close()

    async def json(self, request: Request) -> object:
        """Sends a request and parses the JSON of the answer."""
        value, _ = await self.json_with_headers(request)
        return value

    async def json_with_headers(self, request: Request) -> tuple[object, httpx.Headers]:
        """The same, with the headers of the answer."""

        async def read(answer: OpenAnswer) -> tuple[object, httpx.Headers]:
            response, content = answer.response, await answer.response.aread()
            value = _parse_json(response, content)
            if _is_late_failure(value):
                raise error_from_answer(response.status_code, response.headers, content.decode("utf-8", "replace"))
            return value, response.headers

        return await self.exchange(request, read)

    async def done(self, request: Request) -> None:
        """Sends a request whose answer is not needed."""

        async def read(answer: OpenAnswer) -> None:
            await answer.response.aread()

        await self.exchange(request, read)

    async def exchange(self, request: Request, consume: Callable[[OpenAnswer], Awaitable[T]]) -> T:
        """Sends a request until one attempt succeeds. ``consume`` gets the successful answer and reads it."""
        attempt = 1
        while True:
            try:
                async with self._attempt(request) as answer:
                    return await consume(answer)
            except OpenComputerError as error:
                pause = self._pause(request, error, attempt)
                if pause is None:
                    raise
            attempt += 1
            await asyncio.sleep(pause)

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Sends a request and gives the body of the answer piece by piece. The clock runs while it is waited for."""
        attempt = 1
        while True:
            try:
                async with self._open(request) as response:
                    pieces = response.aiter_raw()
                    while True:
                        piece = await self._next_piece(request, response, pieces)
                        if piece is None:
                            return
                        # From here on a part of the answer has been delivered, so the request is not repeated.
                        attempt = 1_000_000
                        yield piece
            except OpenComputerError as error:
                pause = self._pause(request, error, attempt)
                if pause is None:
                    raise
            attempt += 1
            await asyncio.sleep(pause)

    async def open_and_close(self, request: Request) -> None:
        """Sends a request and drops the body of the answer, however long that is."""
        async with self._open(request):
            pass

    @staticmethod
    def _pause(request: Request, error: OpenComputerError, attempt: int) -> float | None:
        if not request.retry:
            return None
        return retry_pause(
            error,
            attempt,
            idempotent=request.method in ("GET", "DELETE"),
            replayable=request.upload is None or request.upload.replayable,
        )

    @asynccontextmanager
    async def _attempt(self, request: Request) -> AsyncGenerator[OpenAnswer, None]:
        limit = self.limit(request.timeout, request.default_timeout)
        response: httpx.Response | None = None
        try:
            async with Deadline(limit) as deadline:
                try:
                    response = await self._send(request, deadline)
                    yield OpenAnswer(response, deadline)
                except httpx.TransportError as failure:
                    raise self._explain(request, failure) from failure
                finally:
                    if response is not None:
                        await response.aclose()
        except Expired:
            raise timeout_error(request, limit) from None

    @asynccontextmanager
    async def _open(self, request: Request) -> AsyncGenerator[httpx.Response, None]:
        """The clock runs until the answer begins."""
        limit = self.limit(request.timeout, request.default_timeout)
        try:
            async with Deadline(limit) as deadline:
                try:
                    response = await self._send(request, deadline)
                except httpx.TransportError as failure:
                    raise self._explain(request, failure) from failure
        except Expired:
            raise timeout_error(request, limit) from None
        try:
            yield response
        finally:
            await response.aclose()

    async def _next_piece(
        self, request: Request, response: httpx.Response, pieces: AsyncIterator[bytes]
    ) -> bytes | None:
        limit = self.limit(request.timeout, request.default_timeout)
        try:
            async with Deadline(limit):
                return await anext(pieces, None)
        except Expired:
            await response.aclose()
            raise timeout_error(request, limit, progress=True) from None
        except httpx.TransportError as failure:
            raise self._explain(request, failure) from failure

    async def _send(self, request: Request, deadline: Deadline) -> httpx.Response:
        headers = self.auth_headers()
        content: bytes | AsyncIterator[bytes] | None = None
        if request.json is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(without_none(request.json)).encode()
        if request.upload is not None:
            headers["Content-Type"] = "application/octet-stream"
            if request.upload.size is not None:
                headers["Content-Length"] = str(request.upload.size)
            content = request.upload.open(deadline.restart)
        http = self._pool.http()
        query = {name: value for name, value in request.query.items() if value is not None}
        url = httpx.URL(f"{self.api_url}{request.path}", params=query or None)
        call = http.build_request(request.method, url, headers=headers, content=content)
        response = await http.send(call, stream=True)
        if response.is_success:
            return response
        try:
            if response.has_redirect_location or response.is_redirect:
                raise error_from_redirect(self.api_url, response.status_code, response.headers.get("location"))
            body = (await response.aread()).decode("utf-8", "replace")
            raise error_from_answer(response.status_code, response.headers, body)
        finally:
            await response.aclose()

    def _explain(self, request: Request, failure: httpx.TransportError) -> OpenComputerError:
        if isinstance(failure, httpx.UnsupportedProtocol):
            raise failure
        connecting = isinstance(failure, (httpx.ConnectError, httpx.ConnectTimeout))
        error = error_from_failure(self.api_url, failure, connecting=connecting)
        error.details["path"] = request.path
        return error


@asynccontextmanager
async def http_client(
    api_key: str | None, api_url: str | None, request_timeout: float | None = None
) -> AsyncGenerator[HttpClient, None]:
    """A client for one call."""
    client = HttpClient(resolve_connection(api_key, api_url, request_timeout))
    try:
        yield client
    finally:
        await client.close()


def without_none(value: Mapping[str, object]) -> dict[str, object]:
    """Leaves out what was not given."""
    return {key: item for key, item in value.items() if item is not None}


def timeout_error(request: Request, limit: float, *, progress: bool | None = None) -> TimeoutError:
    """The error of a call that took longer than its limit."""
    waited = request.upload is not None if progress is None else progress
    what = "made no progress for" if waited else "had no answer after"
    return TimeoutError(
        f"{request.method} {request.path} {what} {limit:g} s",
        code="request_timeout",
        hint="Raise request_timeout (0: no limit) where this may take longer, "
        "or look whether the server is overloaded.",
    )


def _is_late_failure(value: object) -> bool:
    """Where an answer takes long, its header is sent before it is known whether the call fails."""
    return isinstance(value, dict) and {"error", "code", "hint"} <= value.keys()


def _parse_json(response: httpx.Response, content: bytes) -> Any:
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        value = ""
    # Older servers answer null for an empty list.
    if value is None or isinstance(value, (dict, list)):
        return value  # pyright: ignore[reportUnknownVariableType]
    text = content[:120].decode("utf-8", "replace")
    raise unexpected_answer(
        f"{response.request.url.path} answered {response.status_code} with something else "
        f"than the API promises: {text!r}",
        status=response.status_code,
    )

"""A real HTTP server in this process, in threads of its own, so that any kind of client can be tested."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

wire_sandbox: dict[str, Any] = {
    "sandboxID": "sb-0a1b2c3d",
    "status": "running",
    "templateID": "base",
    "cpuCount": 1,
    "memoryMB": 1024,
    "diskMB": 20480,
    "metadata": {"project": "x"},
    "timeout": 300,
    "startedAt": "2026-01-02T03:04:05Z",
    "endAt": "0001-01-01T00:00:00Z",
    "region": "local",
    "workerID": "local",
    "sandboxDomain": "preview.test",
    "emulated": False,
    "aMemberOfTheFuture": [1],
}


@dataclass(frozen=True)
class SeenRequest:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Exchange(BaseHTTPRequestHandler):
    """One connection; a test's handler answers each request on it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True

    @property
    def _owner(self) -> TestServer:
        assert isinstance(self.server, _Server)
        return self.server.owner

    def setup(self) -> None:
        super().setup()
        self._owner.opened(self.connection)

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def answer(self) -> None:
        self._owner.answer(self)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def send_json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        self.send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def hang_up(self) -> None:
        """Ends the connection as a crash does."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
    owner: TestServer


class TestServer:
    """Answers by ``handle`` and remembers what it was asked. With ``raw`` the handler reads the bodies."""

    __test__ = False

    def __init__(self, handle: Callable[[SeenRequest, Exchange], object], *, port: int = 0, raw: bool = False) -> None:
        self.seen: list[SeenRequest] = []
        self.connections = 0
        self._handle = handle
        self._raw = raw
        self._open: list[socket.socket] = []
        self._server = _Server(("127.0.0.1", port), Exchange)
        self._server.owner = self
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)
        self._thread.start()

    def opened(self, connection: socket.socket) -> None:
        self.connections += 1
        self._open.append(connection)

    def answer(self, exchange: Exchange) -> None:
        url = urlsplit(exchange.path)
        body = b"" if self._raw else exchange.read_body()
        query = parse_qs(url.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in exchange.headers.items()}
        request = SeenRequest(exchange.command, url.path, query, headers, body)
        self.seen.append(request)
        self._handle(request, exchange)

    def stop(self) -> None:
        """Ends every connection, as a server that is killed."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def always(status: int, body: object, headers: Mapping[str, str] | None = None) -> Callable[..., None]:
    """A handler that gives the same answer to everything."""

    def handle(_request: SeenRequest, exchange: Exchange) -> None:
        exchange.send_json(status, body, headers)

    return handle


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with TestServer(always(200, {})) as server:
        return server.port

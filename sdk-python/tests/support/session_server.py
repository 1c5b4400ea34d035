"""A real server with one session behind every path, without a machine: a test prints and exits by hand."""

from __future__ import annotations

import queue
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from .http_server import Exchange, SeenRequest, TestServer, wire_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable


class WebSocket:
    """The server's end of a WebSocket. Sending never blocks the test."""

    def __init__(self, exchange: Exchange) -> None:
        self._connection = exchange.connection
        self._protocol = ServerProtocol()
        self._lock = threading.Lock()
        self._to_send: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        head = f"{exchange.requestline}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in exchange.headers.items())
        self._protocol.receive_data(f"{head}\r\n".encode())
        [request] = self._protocol.events_received()
        assert isinstance(request, Request)
        self._protocol.send_response(self._protocol.accept(request))
        self._flush()
        threading.Thread(target=self._write, daemon=True).start()

    def messages(self) -> Any:
        """The messages of the client, until the connection ends."""
        while True:
            try:
                data = self._connection.recv(65536)
            except OSError:
                data = b""
            with self._lock:
                if data:
                    self._protocol.receive_data(data)
                events = self._protocol.events_received()
            self._to_send.put(lambda: None)
            for event in events:
                if isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                    yield bytes(event.data)
            if not data or self._protocol.close_rcvd is not None:
                self._to_send.put(None)
                return

    def send(self, message: bytes) -> None:
        self._to_send.put(lambda: self._protocol.send_binary(message))

    def send_text(self, message: str) -> None:
        self._to_send.put(lambda: self._protocol.send_text(message.encode()))

    def send_count(self, kind: int, count: int) -> None:
        self.send(bytes([kind]) + count.to_bytes(8, "big"))

    def send_exit(self, code: int) -> None:
        self.send(b"\x03" + code.to_bytes(4, "big", signed=True))
        self.close(1000)

    def close(self, code: int, reason: str = "") -> None:
        self._to_send.put(lambda: self._protocol.send_close(code, reason))

    def terminate(self) -> None:
        """Cuts the connection off."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _write(self) -> None:
        while (act := self._to_send.get()) is not None:
            try:
                with self._lock:
                    act()
                self._flush()
            except (OSError, InvalidState):
                # The client has gone, or a close frame has been sent.
                continue

    def _flush(self) -> None:
        with self._lock:
            pieces = self._protocol.data_to_send()
        for piece in pieces:
            if piece:
                self._connection.sendall(piece)


@dataclass(frozen=True)
class _Reader:
    socket: WebSocket
    client: str
    counts: bool


class TestSession:
    """A session as a server has it."""

    __test__ = False

    def __init__(self) -> None:
        self.stdin = b""
        self.stdin_ends = 0
        # Takes input only while true.
        self.reads = True
        self._lock = threading.RLock()
        self._pieces: list[tuple[int, bytes]] = []
        self._accepted: dict[str, int] = {}
        self._waiting: list[tuple[str, bytes]] = []
        self._readers: list[_Reader] = []
        self._first_kept = 0
        self._exit_code: int | None = None

    @property
    def attached(self) -> int:
        return len(self._readers)

    def taken(self, data: bytes) -> None:
        """Called with input that was taken."""

    def input_ended(self) -> None:
        """Called at the end of the input."""

    def print(self, text: str | bytes, stream: int = 1) -> None:
        data = text.encode() if isinstance(text, str) else text
        with self._lock:
            self._pieces.append((stream, data))
            for reader in self._readers:
                reader.socket.send(bytes([stream]) + data)

    def forget(self, size: int) -> None:
        """Drops the oldest output."""
        with self._lock:
            self._first_kept += size

    def exit(self, code: int) -> None:
        with self._lock:
            self._exit_code = code
            for reader in self._readers:
                reader.socket.send_exit(code)

    def power(self, *, awake: bool) -> None:
        """Says that the sandbox hibernates, or runs again."""
        with self._lock:
            for reader in self._readers:
                reader.socket.send(bytes([9, awake]))

    def read_on(self) -> None:
        """Reads the input that has waited."""
        with self._lock:
            self.reads = True
            waiting, self._waiting = self._waiting, []
            for client, data in waiting:
                self._take(client, data)

    def close(self, code: int, reason: str) -> None:
        """Everybody is told to go."""
        with self._lock:
            for reader in self._readers:
                reader.socket.close(code, reason)

    def cut(self) -> None:
        """Everybody is cut off, and input that was on its way is lost."""
        with self._lock:
            self._waiting.clear()
            for reader in self._readers:
                reader.socket.terminate()

    def attach(self, socket: WebSocket, query: dict[str, list[str]]) -> None:
        """Serves one that attaches, until it goes."""
        offset = max(int(query.get("from", ["0"])[0]), 0)
        reader = _Reader(socket, query.get("client", [""])[0], "from" in query)
        with self._lock:
            self._greet(reader, offset)
            if self._exit_code is not None:
                socket.send_exit(self._exit_code)
            self._readers.append(reader)
        for message in socket.messages():
            if message[:1] == b"\x00":
                self._take(reader.client, message[1:])
            if message[:1] == b"\x04":
                self.stdin_ends += 1
                self.input_ended()
        with self._lock:
            self._readers.remove(reader)

    def _greet(self, reader: _Reader, offset: int) -> None:
        if reader.counts:
            reader.socket.send_count(6, self._accepted.get(reader.client, 0))
            reader.socket.send_count(7, offset)
            if offset < self._first_kept:
                reader.socket.send_count(5, self._first_kept - offset)
        begin, position = max(offset, self._first_kept), 0
        for stream, data in self._pieces:
            part = data[max(0, begin - position) :]
            position += len(data)
            if part:
                reader.socket.send(bytes([stream]) + part)
        reader.socket.send(b"\x04")

    def _take(self, client: str, data: bytes) -> None:
        with self._lock:
            if not self.reads:
                self._waiting.append((client, data))
                return
            self.stdin += data
            accepted = self._accepted[client] = self._accepted.get(client, 0) + len(data)
            self.taken(data)
            for reader in self._readers:
                if reader.counts and reader.client == client:
                    reader.socket.send_count(6, accepted)


class SessionServer(TestServer):
    """Serves one session.

    ``refuse`` answers instead of the upgrade where it gives something; ``serve`` instead of the session: True says
    that it has. Both get the number of the attempt, from 1.
    """

    def __init__(
        self,
        *,
        session: TestSession | None = None,
        refuse: Callable[[int], tuple[int, object] | None] | None = None,
        serve: Callable[[WebSocket, int], bool] | None = None,
        handle: Callable[[SeenRequest, Exchange], object] | None = None,
        port: int = 0,
    ) -> None:
        self.session = session or TestSession()
        self.attaches: list[SeenRequest] = []
        self._refuse = refuse
        self._serve = serve
        self._other = handle
        super().__init__(self._session_answer, port=port)

    def _session_answer(self, request: SeenRequest, exchange: Exchange) -> None:
        if request.headers.get("upgrade") == "websocket":
            return self._upgrade(request, exchange)
        if request.method == "POST" and request.path.endswith(("/exec", "/pty", "/agent")):
            return exchange.send_json(201, {"sessionID": "abcd1234", "sandboxID": "sb-0a1b2c3d", "running": True})
        if self._other is not None:
            self._other(request, exchange)
            return None
        return exchange.send_json(200, wire_sandbox)

    def _upgrade(self, request: SeenRequest, exchange: Exchange) -> None:
        self.attaches.append(request)
        attempt = len(self.attaches)
        refusal = self._refuse(attempt) if self._refuse else None
        if refusal is not None:
            return exchange.send_json(*refusal)
        exchange.close_connection = True
        socket = WebSocket(exchange)
        if self._serve is None or not self._serve(socket, attempt):
            self.session.attach(socket, request.query)
        return None

"""A backend that only counts: it stores ids, answers as it is told to, and can be stopped and started."""

import json
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import zstandard

from heli.schema.exchange import Exchange, Record, decode_exchanges, decode_record
from heli.schema.heartbeat import Heartbeat


class FakeBackend:
    """Knows each exchange that it acknowledged, and how often it was sent."""

    def __init__(self) -> None:
        self.stored: dict[bytes, Exchange] = {}
        self.sent: Counter[bytes] = Counter()
        self.batches: list[tuple[str, list[bytes]]] = []
        self.live: list[Record] = []
        self.heartbeats: list[Heartbeat] = []
        self.open: list[Exchange] = []
        """WebSockets as they were told of while they went on."""
        self.open_status = 200
        self.tokens: list[str] = []
        self.changed = threading.Condition()
        self.refuse: Callable[[list[Exchange]], tuple[int, str] | None] = lambda _exchanges: None
        """The status, with a reason, by which a batch is refused."""
        self.reject: Callable[[Exchange], str | None] = lambda _exchange: None
        """Why one exchange of a batch is not stored."""
        self.loses_answer: Callable[[int], bool] = lambda _nth: False
        """Whether the answer to the nth batch that is stored gets lost."""
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "FakeBackend":
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                backend._answer(self)

            def log_message(self, *_words: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """As if the process was killed: connections break, the port is free."""
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.break_connections()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), f"{len(self.stored)} exchanges are stored"

    def wait_for_stored(self, count: int, timeout_s: float = 20.0) -> None:
        self.wait_for(lambda: len(self.stored) >= count, timeout_s)

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if request.path == "/v1/ingest/live":
            return self._take_live(request, body)
        if request.path == "/v1/ingest/heartbeat":
            return self._take_heartbeat(request, body)
        if request.path == "/v1/ingest/open":
            return self._take_open(request, body)
        assert request.headers["Content-Type"] == "application/x-heli-exchanges"
        assert request.headers["Content-Encoding"] == "zstd"
        exchanges = decode_exchanges(zstandard.decompress(body))
        with self.changed:
            nth = len(self.batches)
            self.batches.append((request.headers["Heli-Batch"], [each.id for each in exchanges]))
            self.tokens.append(request.headers["Authorization"])
            self.sent.update(each.id for each in exchanges)
            refused = self.refuse(exchanges)
            answer = {"stored": 0, "duplicates": 0, "rejected": []} if refused else self._store(exchanges)
            self.changed.notify_all()
        if not refused and self.loses_answer(nth):
            request.close_connection = True
            return request.connection.shutdown(socket.SHUT_RDWR)
        status, content = refused or (200, json.dumps(answer))
        return _reply(request, status, content.encode())

    def _store(self, exchanges: list[Exchange]) -> dict[str, object]:
        rejected = []
        duplicates = 0
        for exchange in exchanges:
            if reason := self.reject(exchange):
                rejected.append({"id": str(uuid.UUID(bytes=exchange.id)), "reason": reason})
            elif exchange.id in self.stored:
                duplicates += 1
            else:
                self.stored[exchange.id] = exchange
        stored = len(exchanges) - duplicates - len(rejected)
        return {"stored": stored, "duplicates": duplicates, "rejected": rejected}

    def _take_heartbeat(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        with self.changed:
            self.heartbeats.append(msgspec.json.decode(body, type=Heartbeat))
            self.changed.notify_all()
        _reply(request, 204, b"")

    def _take_open(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        with self.changed:
            self.open += decode_exchanges(zstandard.decompress(body))
            self.changed.notify_all()
        _reply(request, self.open_status, b'{"stored": 0, "duplicates": 0, "rejected": []}')

    def _take_live(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        raw = msgspec.msgpack.decode(zstandard.decompress(body), type=list[msgspec.Raw])
        with self.changed:
            self.live += [decode_record(bytes(each)) for each in raw]
            self.changed.notify_all()
        _reply(request, 204, b"")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *arguments: object) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, *_arguments: object) -> None:
        """Broken connections are a part of these tests."""


def _reply(request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)

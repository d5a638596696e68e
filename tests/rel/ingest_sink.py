"""A backend that only takes exchanges in and keeps them, so that a figure of the gateway needs no stores."""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import zstandard

from heli.schema.exchange import Exchange, decode_exchanges
from tests.rel.heli_under_test import wait_until


class IngestSink:
    """Answers like ingest. `exchanges` holds the first copy of each, `deliveries` counts all copies.

    In runs that are long, `keeps` says which exchanges are kept; the others are counted only.
    """

    def __init__(self, keeps: Callable[[Exchange], bool] = lambda _: True) -> None:
        self._keeps = keeps
        self.exchanges: dict[bytes, Exchange] = {}
        self.deliveries: Counter[bytes] = Counter()
        self.problems: list[str] = []
        self._lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/ingest":
                    self._answer(200, json.dumps(sink.take(body)).encode())
                else:
                    self._answer(204, b"")

            def do_GET(self) -> None:
                self._answer(200, b'{"status": "ok"}')

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                if status != 204:
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # the shipper was killed, as some figures want
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, body: bytes) -> dict[str, Any]:
        """Keep a batch; what ingest would answer."""
        exchanges = decode_exchanges(zstandard.ZstdDecompressor().stream_reader(body).read())
        with self._lock:
            for exchange in exchanges:
                self.deliveries[exchange.id] += 1
                if self._keeps(exchange):
                    self.exchanges.setdefault(exchange.id, exchange)
        return {"stored": len(exchanges), "duplicates": 0, "rejected": []}

    def all(self) -> list[Exchange]:
        with self._lock:
            return list(self.exchanges.values())

    def by_header(self, name: str) -> dict[str, Exchange]:
        """`{value: exchange}` of a request header that is different for each call."""
        wanted = name.lower().encode()
        found = {}
        for exchange in self.all():
            for key, value in exchange.request_headers:
                if key.lower() == wanted:
                    found[value.decode()] = exchange
        return found

    def wait_for(self, count: int, seconds: float = 10) -> list[Exchange]:
        """Wait until so many exchanges came. Raises `TimeoutError`."""
        wait_until(lambda: len(self.exchanges) >= count, seconds, f"{count} exchanges in the sink")
        return self.all()

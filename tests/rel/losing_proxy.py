"""Stands between a shipper and the backend and loses answers: the batch was taken, nobody says so."""

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

_PASSED_ON = ("authorization", "content-type", "content-encoding", "heli-batch")


class LosingProxy:
    """Relays to `backend_port`; of the answers to batches, loses one of `every` so many. Counts both."""

    def __init__(self, backend_port: int, every: int) -> None:
        self.passed = 0
        self.lost = 0
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, text = self._relay(body)
                is_batch = self.path == "/v1/ingest" and status == 200
                if is_batch and proxy._loses(every):
                    self.close_connection = True
                    return
                self.send_response(status)
                if status != 204:
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def _relay(self, body: bytes) -> tuple[int, bytes]:
                headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
                connection = http.client.HTTPConnection("127.0.0.1", backend_port, timeout=30)
                try:
                    connection.request("POST", self.path, body, headers)
                    with connection.getresponse() as reply:
                        return reply.status, reply.read()
                finally:
                    connection.close()

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def _loses(self, every: int) -> bool:
        with self._lock:
            is_lost = (self.lost + self.passed) % every == 0
            self.lost += is_lost
            self.passed += not is_lost
            return is_lost

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""The world outside for the interceptor: every name leads to one server, by way of a company's proxy."""

import asyncio
import base64
import contextlib
import http.server
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path


class CompanyProxy:
    """A proxy that tunnels by CONNECT, to one address whatever the name; remembers what it was asked.

    With `user`, it wants `Proxy-Authorization`.
    """

    def __init__(self, port: int, user: str = "") -> None:
        self.asked: list[str] = []
        proxy = self
        wanted = f"Basic {base64.b64encode(user.encode()).decode()}" if user else ""

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                first = self.rfile.readline().decode().split()
                headers: dict[str, str] = {}
                while line := self.rfile.readline().strip():
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                proxy.asked.append(" ".join(first[:2]))
                if wanted and headers.get("proxy-authorization") != wanted:
                    self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                    return
                with socket.create_connection(("127.0.0.1", port)) as far:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                    other = threading.Thread(target=_copy, args=(far, self.request))
                    other.start()
                    _copy(self.request, far)
                    other.join()

        self._server = _Server(("127.0.0.1", 0), Handler)
        at = f"{user}@" if user else ""
        self.url = f"http://{at}127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> "CompanyProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def tls_in_front(port: int, pem: Path) -> Iterator[int]:
    """A port on which whoever comes by TLS reaches another one, of this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    ready = Future[tuple[int, Callable[[], object]]]()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = await asyncio.open_connection("127.0.0.1", port)
        ways = pass_on(reader, far[1]), pass_on(far[0], writer)
        await asyncio.gather(*ways, return_exceptions=True)
        far[1].close()
        writer.close()

    async def serve() -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
        stop = partial(loop.call_soon_threadsafe, stopped.set)
        ready.set_result((server.sockets[0].getsockname()[1], stop))
        await stopped.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    tls_port, stop = ready.result(10)
    try:
        yield tls_port
    finally:
        stop()
        thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"page of {self.headers['host']}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Pages(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A handshake that a client breaks off is what some tests are about."""


@contextmanager
def serve_pages(pem: Path | None = None) -> Iterator[int]:
    """A web server with this certificate, or without TLS; gives its port."""
    server = _Pages(("127.0.0.1", 0), _Page)
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

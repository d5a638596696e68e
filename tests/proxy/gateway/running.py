"""A gateway in this process, on real sockets, with a spool that is a list."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import uvloop

from heli.proxy.gateway.caller import CallerConnection
from heli.proxy.gateway.draining import drain
from heli.proxy.gateway.gateway import Gateway
from heli.schema.exchange import Closed, Exchange, Grown, Listener, Opened, Record, Whole, decode_record
from heli.schema.settings import BackendSettings, GatewaySettings, ProviderSettings, Settings
from tests.standin import StandIn


class ListSpool:
    """Keeps records in memory; can be told to be nearly full, or to refuse."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_nearly_full = False
        self.refuses = False
        self.dropped_body_bytes = 0

    def append(self, record: bytes, *, body_bytes: int = 0) -> bool:
        if self.refuses:
            return False
        self.records.append(decode_record(record))
        return True

    def count_dropped_body(self, body_bytes: int, bodies: int = 1) -> None:
        self.dropped_body_bytes += body_bytes


class RunningGateway:
    """A gateway on ports of its own choosing, in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.spool = ListSpool()
        self.ports: dict[Listener | None, int] = {}
        self._settings = settings
        self._started: Future[None] = Future()
        self._stop: Callable[[], Any]
        self.gateway: Gateway
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))
        self._thread.start()
        self._started.result(10)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        self._loop = loop
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        self.gateway = Gateway(self._settings, self.spool, "gateway-0", loop)
        servers = []
        for listener in (*Listener, None):
            server = await loop.create_server(
                lambda listener=listener: CallerConnection(self.gateway, listener), "127.0.0.1", 0
            )
            self.ports[listener] = server.sockets[0].getsockname()[1]
            servers.append(server)
        self._started.set_result(None)
        await stopped.wait()
        for server in servers:
            server.close()
        await drain(self.gateway)

    def in_loop[T](self, work: Callable[[], T]) -> T:
        """Do something between two turns of the gateway's loop."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(10)

    def in_loop_until(self, is_so: Callable[[], bool], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not self.in_loop(is_so):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def stop(self) -> None:
        self._stop()
        self._thread.join(40)
        assert not self._thread.is_alive()

    def connect(
        self, listener: Listener | None = Listener.OPENAI, receive_buffer: int | None = None
    ) -> "Wire":
        return Wire(self.ports[listener], receive_buffer)

    def exchanges(self, count: int, seconds: float = 5) -> list[Exchange]:
        """The first `count` exchanges that ended, put together as the shipper does; waits for them."""
        deadline = time.monotonic() + seconds
        while len(ended := self._ended()) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(ended) >= count, f"{len(ended)} of {count} exchanges were recorded"
        return ended[:count]

    def _ended(self) -> list[Exchange]:
        opened: dict[bytes, tuple[bytes, bytes]] = {}
        ended = []
        for record in list(self.spool.records):
            match record:
                case Whole(exchange=exchange):
                    ended.append(exchange)
                case Opened(exchange=exchange):
                    opened[exchange.id] = (exchange.request_body, exchange.response_body)
                case Grown(id=id, direction=direction, data=data):
                    bodies = list(opened[id])
                    bodies[direction] += data
                    opened[id] = (bodies[0], bodies[1])
                case Closed(exchange=exchange):
                    request, reply = opened.pop(exchange.id)
                    fields = {name: getattr(exchange, name) for name in exchange.__struct_fields__}
                    fields["request_body"] = request + exchange.request_body
                    fields["response_body"] = reply + exchange.response_body
                    ended.append(Exchange(**fields))
        return ended


class Wire:
    """A caller's connection, byte by byte."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_buffer is not None:  # some systems let a socket take in tens of megabytes
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", port))
        self.received = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_until(self, mark: bytes) -> bytes:
        """Bytes up to and with the mark; what came behind it is kept for the next reading."""
        while mark not in self.received:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError(self.received)
            self.received += piece
        end = self.received.index(mark) + len(mark)
        found, self.received = self.received[:end], self.received[end:]
        return found

    def read_bytes(self, count: int) -> bytes:
        while len(self.received) < count:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError(self.received)
            self.received += piece
        found, self.received = self.received[:count], self.received[count:]
        return found

    def read_reply(self) -> tuple[bytes, bytes]:
        """Head and body of one reply of known length."""
        head = self.read_until(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        return head, self.read_bytes(length)

    def read_all(self) -> bytes:
        """Everything until the other side ends the connection in order."""
        while piece := self.sock.recv(65536):
            self.received += piece
        return self.received


@contextmanager
def running_gateway(
    standin: StandIn | None = None, backend_url: str = "", **limits: Any
) -> Iterator[RunningGateway]:
    """A gateway whose providers are the stand-in; `limits` are gateway settings."""
    url = standin.url if standin else "http://127.0.0.1:1"
    providers = {key: ProviderSettings(base_url=url) for key in ("openai", "anthropic", "groq")}
    backend = BackendSettings(url=backend_url)
    settings = Settings(gateway=GatewaySettings(**limits), providers=providers, backend=backend)
    gateway = RunningGateway(settings)
    try:
        yield gateway
    finally:
        gateway.stop()


def a_call(
    body: bytes = b"{}",
    path: str = "/v1/chat/completions",
    headers: tuple[str, ...] = (),
    method: str = "POST",
    version: str = "HTTP/1.1",
) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} {version}", "Host: heli.test", "Content-Type: application/json", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body

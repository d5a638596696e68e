"""As much of HTTP/1.1 as ClickHouse's clients speak: requests with a bounded body, answers in one write."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

import httptools
import msgspec

MAX_BODY = 256 * 1024 * 1024
MAX_URL = 1024 * 1024
MAX_HEAD = 65_536
MAX_WAITING = 8
MAX_CONNECTIONS = 256
REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 413: "Payload Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip


log = logging.getLogger("heli.store")


class HttpRequest(msgspec.Struct, frozen=True):
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class HttpResponse(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Handler(Protocol):
    """Who answers."""

    def admit(self, request: HttpRequest) -> HttpResponse | None:
        """Look at the head alone; an answer given here is final, and the body is not read into memory."""
        ...

    async def answer(self, request: HttpRequest, gone: asyncio.Event) -> HttpResponse:
        """The event is set when the caller has hung up."""
        ...


class Connection(asyncio.Protocol):
    """One caller's connection; requests are answered one after the other."""

    def __init__(self, handler: Handler, open_connections: set["Connection"]) -> None:
        self._handler = handler
        self._open = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: list[tuple[HttpRequest | HttpResponse, bool]] = []
        self._task: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._is_closing = False
        self._begin()

    def _begin(self) -> None:
        self._url = bytearray()
        self._head_bytes = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._refusal: HttpResponse | None = None

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport  # asyncio sets TCP_NODELAY
        if len(self._open) >= MAX_CONNECTIONS:
            transport.abort()
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._gone.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except _Refused as refusal:
            self._refuse(refusal.status, str(refusal))
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, _Refused):
                self._refuse(cause.status, str(cause))
            else:
                self._refuse(400, f"this is not HTTP/1.1: {error}")

    # What the parser tells.

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > MAX_URL:
            raise _Refused(400, "the address is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD:
            raise _Refused(400, "the headers are too long")
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if int(self._headers.get("content-length") or 0) > MAX_BODY:
            raise _Refused(413, f"the body is longer than {MAX_BODY} bytes")
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._refusal = self._handler.admit(self._request())

    def on_body(self, body: bytes) -> None:
        if self._refusal is not None:
            return
        self._body += body
        if len(self._body) > MAX_BODY:
            raise _Refused(413, f"the body is longer than {MAX_BODY} bytes")

    def on_message_complete(self) -> None:
        self._waiting.append((self._refusal or self._request(), self._parser.should_keep_alive()))
        self._begin()
        if len(self._waiting) > MAX_WAITING:
            raise _Refused(503, "too many requests at once on one connection")
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._answer_all())

    def _request(self) -> HttpRequest:
        parts = urlsplit(self._url.decode("latin-1"))
        return HttpRequest(
            self._parser.get_method().decode("latin-1"),
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            self._headers,
            bytes(self._body),
        )

    # Answers.

    async def _answer_all(self) -> None:
        while self._waiting and not self._gone.is_set():
            asked, keep_alive = self._waiting.pop(0)
            if isinstance(asked, HttpRequest):
                asked = await self._answer(asked)
            self._send(asked, keep_alive and not self._is_closing)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        try:
            return await self._handler.answer(request, self._gone)
        except Exception as error:
            log.exception("a call could not be answered")
            return HttpResponse(500, f"Code: 1002. DB::Exception: {error!r}\n".encode())

    def _send(self, response: HttpResponse, keep_alive: bool) -> None:
        if self._transport.is_closing():
            return
        reason = REASONS.get(response.status, "Error")
        lines = [f"HTTP/1.1 {response.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [f"Content-Length: {len(response.body)}"]
        lines += ["Connection: Keep-Alive\r\nKeep-Alive: timeout=60" if keep_alive else "Connection: close"]
        # Head and body in one write: two small packets would wait for each other for 40 ms.
        # Never an empty part: asyncio would try to send it for ever.
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self._transport.writelines([head, response.body] if response.body else [head])
        if not keep_alive:
            self._transport.close()

    def _refuse(self, status: int, text: str) -> None:
        self._send(HttpResponse(status, text.encode() + b"\n"), keep_alive=False)

    def finish(self) -> None:
        """Answer what has come in, then close."""
        self._is_closing = True
        if self._task is None or self._task.done():
            self._transport.close()

    @property
    def is_busy(self) -> bool:
        return self._task is not None and not self._task.done()


class _Refused(Exception):  # noqa: N818
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

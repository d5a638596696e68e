"""A small backend that answers as the REST contract says, with requests and events that a test gives it."""

import contextlib
import datetime
import http.server
import queue
import threading
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from heli.schema.conversation import Conversation
from heli.schema.exchange import Outcome
from heli.schema.heartbeat import Gateways, GatewaySpool
from heli.schema.live import LiveCall, LiveEvent, LiveKind, LiveTotals
from heli.schema.request import Request
from heli.schema.usage import CostState, Usage

encode = msgspec.json.Encoder(decimal_format="number").encode
NOON = datetime.datetime(2025, 11, 23, 12, tzinfo=datetime.UTC)


def a_request(number: int = 1, **changes: Any) -> Request:
    """A request whose id and time count up."""
    fields: dict[str, Any] = {
        "id": a_uuid(number),
        "created_at": NOON + datetime.timedelta(seconds=number),
        "ended_at": NOON + datetime.timedelta(seconds=number + 0.4),
        "listener": "openai",
        "outcome": Outcome.COMPLETE,
        "provider": "OPENAI",
        "operation": "chat",
        "origin": "https://api.openai.com",
        "path": "/v1/chat/completions",
        "model": "gpt-4o-mini",
        "status": 200,
        "duration_ms": 400.0,
        "time_to_first_token_ms": 200.0,
        "usage": Usage(input_tokens=600, cache_read_tokens=400, output_tokens=12),
        "cost_state": CostState.EXACT,
        "cost_usd": Decimal("0.00012720"),
        "cost_parts_usd": {"input_tokens": Decimal("0.00009"), "output_tokens": Decimal("0.0000372")},
        "price_source": "genai-prices 0.2.3",
        "price_date": datetime.date(2026, 11, 18),
        "session_id": "fix-login",
        "request_preview": "hello there",
        "response_preview": "the quick brown fox",
    }
    return Request(**(fields | changes))


def a_uuid(number: int) -> uuid.UUID:
    """`7f3a0001-…`: a different beginning for each number."""
    return uuid.UUID(f"{number:04x}7f3a-0000-4000-8000-{number:012x}")


def a_call(number: int, **changes: Any) -> LiveCall:
    fields: dict[str, Any] = {
        "id": a_uuid(number),
        "created_at": datetime.datetime.now(datetime.UTC),
        "model": "claude-sonnet-4-5",
        "session_id": "fix-login",
    }
    return LiveCall(**(fields | changes))


class FakeBackend:
    """What it answers: change its attributes, `tell` live events, `hang_up` on listeners."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.conversation = Conversation()
        self.exchange: dict[str, Any] = {}
        self.costs: dict[str, Any] = {"by": [], "rows": [], "total": {"requests": 0}}
        self.gateways: list[GatewaySpool] = []
        self.repriced: list[tuple[str, Any]] = []
        """`(event, data)` that a run of pricing again tells."""
        self.posted: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        """`(path, query)` of every call."""
        self.listened = threading.Event()
        """Set whenever a listener has connected."""
        self.greeting: list[LiveEvent | LiveTotals] = []
        self._listeners: list[queue.SimpleQueue[bytes | None]] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def tell(self, event: LiveEvent | LiveTotals) -> None:
        for listener in self._listeners:
            listener.put(frame(event))

    def hang_up(self) -> None:
        self.listened.clear()
        for listener in self._listeners:
            listener.put(None)

    def close(self) -> None:
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def listen(self) -> Iterator[bytes]:
        mine: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        for event in self.greeting:
            mine.put(frame(event))
        self._listeners.append(mine)
        self.listened.set()
        while (data := mine.get()) is not None:
            yield data
        self._listeners.remove(mine)

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        match unquote(path).strip("/").split("/"):
            case ["v1", "requests"]:
                return 200, encode(self._page(query))
            case ["v1", "requests", ref]:
                return self._one(ref, lambda request: request)
            case ["v1", "requests", ref, "conversation"]:
                return self._one(ref, lambda _: self.conversation)
            case ["v1", "requests", ref, "exchange"]:
                return self._one(ref, lambda request: {"request": request} | self.exchange)
            case ["v1", "gateways"]:
                return 200, encode(Gateways(gateways=self.gateways))
            case ["v1", "costs"]:
                return 200, encode(self.costs)
        return 404, error("not_found", f"no route {path}")

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        found = sorted(self.requests, key=lambda request: request.created_at)
        if since := query.get("since"):
            found = [r for r in found if r.created_at >= datetime.datetime.fromisoformat(since)]
        if query.get("order") != "oldest":
            found.reverse()
        begin, limit = int(query.get("cursor", 0)), int(query.get("limit", 50))
        following = str(begin + limit) if begin + limit < len(found) else None
        return {"requests": found[begin : begin + limit], "next_cursor": following}

    def _one(self, ref: str, show: Any) -> tuple[int, bytes]:
        newest = sorted(self.requests, key=lambda request: request.created_at)
        if ref.startswith("@"):
            place = -1 if ref == "@last" else int(ref[1:])
            found = newest[place:][:1] if len(newest) >= -place else []
        else:
            found = [request for request in newest if request.id.hex.startswith(ref.replace("-", ""))]
        if not found:
            return 404, error("not_found", f"there is no request {ref!r}", "heli logs lists them")
        if len(found) > 1:
            return 409, error("ambiguous", f"{ref!r} fits {len(found)} requests")
        return 200, encode(show(found[0]))

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                backend.asked.append((url.path, query))
                if url.path == "/v1/live":
                    with contextlib.suppress(ConnectionError):
                        self._stream()
                    return
                status, body = backend.answer(url.path, query)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                backend.posted.append(msgspec.json.decode(body))
                events = [
                    f"event: {name}\ndata: {encode(data).decode()}\n\n".encode()
                    for name, data in backend.repriced
                ]
                self.close_connection = True
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(b"".join(events))

            def _stream(self) -> None:
                self.close_connection = True
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for data in backend.listen():
                    self.wfile.write(data)
                    self.wfile.flush()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def frame(event: LiveEvent | LiveTotals) -> bytes:
    name = event.kind if isinstance(event, LiveEvent) else "totals"
    return f"event: {name}\ndata: {encode(event).decode()}\n\n".encode()


def error(code: str, message: str, hint: str = "") -> bytes:
    return encode({"error": {"code": code, "message": message, "hint": hint}})


def started(call: LiveCall) -> LiveEvent:
    return LiveEvent(kind=LiveKind.STARTED, call=call)


def streaming(call: LiveCall) -> LiveEvent:
    return LiveEvent(kind=LiveKind.STREAMING, call=call)


def finished(request: Request) -> LiveEvent:
    return LiveEvent(kind=LiveKind.FINISHED, request=request)

"""A caller's connection: requests are read from it, one after the other, and replies written to it."""

import asyncio
import socket
import struct
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from heli.proxy.gateway.call import Call
from heli.proxy.gateway.connection import Connection
from heli.proxy.gateway.heads import HEAD_END, BadHead, RequestHead, read_request_head
from heli.proxy.gateway.outgoing import Outgoing
from heli.proxy.gateway.own_routes import OWN_ROUTES, answer_own_route
from heli.proxy.gateway.replies import error_reply
from heli.proxy.gateway.targets import NOWHERE, TargetRefusedError
from heli.schema.exchange import Listener

if TYPE_CHECKING:
    from heli.proxy.gateway.gateway import Gateway

MOST_PIPELINED = 64 * 1024
MOST_SEEN = 8 * 1024
"""Larger heads are read anew each time, as resting connections should cost little memory."""
_RESET = struct.pack("ii", 1, 0)


class CallerConnection(Connection):
    """One connection from a program. `listener` is `None` for the log API, which is only passed on.

    Has the methods of an `asyncio.Protocol`.
    """

    __slots__ = (
        "answering",
        "buffer",
        "call",
        "gateway",
        "is_full",
        "is_gone",
        "is_leaving",
        "is_stopped",
        "listener",
        "peer",
        "rests_since",
        "seen",
        "started_ns",
        "started_us",
        "window_bytes",
        "window_start",
    )

    def __init__(self, gateway: "Gateway", listener: Listener | None) -> None:
        super().__init__(gateway.outbox)
        self.gateway = gateway
        self.listener = listener
        self.call: Call | None = None
        self.buffer = b""
        """What has come and is not dealt with: the beginning of a head, or the next request."""
        self.answering: asyncio.Task[None] | None = None
        """One of the gateway's own routes is being answered."""
        self.peer = ""
        self.seen: Outgoing | None = None
        """What was made of the last request's head."""
        self.is_stopped = False
        """Nothing is read from it."""
        self.is_full = False
        """The caller reads slower than it is written to."""
        self.is_gone = False
        self.is_leaving = False
        """Nothing more is read; the connection ends when what was written has gone out."""
        self.started_ns = 0
        """When the first byte of the request under way came; 0 between requests."""
        self.started_us = 0
        """The same moment by the clock that is never set."""
        self.rests_since = gateway.now
        self.window_start = gateway.now
        """When the period began in which a body must bring its least number of bytes."""
        self.window_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        if not self.gateway.admit(self):
            self.is_leaving = True
            self.transport.abort()
            return
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if name else ""

    def data_received(self, data: bytes) -> None:
        call = self.call
        if self.is_leaving:
            return
        if self.answering is not None:
            self._keep_for_later(data)
        elif call is None:
            if not self.started_ns:
                self.started_ns = time.time_ns()
                self.started_us = time.perf_counter_ns() // 1000
                self.rests_since = self.gateway.now
            self._read_head(data)
        elif call.is_tunnel:
            call.tunnel_received(data)
        elif not call.request_body.is_done:
            self.window_bytes += len(data)
            taken = call.request_received(data)
            if taken < len(data):
                self._keep_for_later(data[taken:])
        else:
            self._keep_for_later(data)

    def _keep_for_later(self, data: bytes) -> None:
        """A next request came before this one was answered."""
        self.buffer += data
        if len(self.buffer) > MOST_PIPELINED:
            self.stop_reading()

    def stop_reading(self) -> None:
        """Let the caller wait: what it sends has nowhere to go yet."""
        if not self.is_stopped and not self.is_gone and not self.transport.is_closing():
            self.is_stopped = True
            self.transport.pause_reading()

    def go_on_reading(self) -> None:
        if self.is_stopped:
            self.is_stopped = False
            if not self.is_gone and not self.transport.is_closing():
                self.transport.resume_reading()

    def _read_head(self, data: bytes) -> None:
        seen = len(self.buffer)
        if seen:
            data = self.buffer + data
        end = data.find(HEAD_END, max(0, seen - 3))
        limits = self.gateway.settings.gateway
        size = end if end >= 0 else len(data)
        if size > limits.max_url_bytes and (data.find(b"\r\n", 0, limits.max_url_bytes + 16) < 0):
            self._refuse(
                HTTPStatus.REQUEST_URI_TOO_LONG, f"the URL is longer than {limits.max_url_bytes} bytes"
            )
        elif size > limits.max_head_bytes:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the headers are larger than {limits.max_head_bytes} bytes",
            )
        elif end < 0:
            self.buffer = data.lstrip(b"\r\n") if data[:1] in b"\r\n" else data
        else:
            self.buffer = b""
            self._take_head(data[: end + 4], data[end + 4 :])

    def _take_head(self, block: bytes, rest: bytes) -> None:
        if self.seen is not None:
            digits = self.seen.again(block)
            if digits is not None:
                self._begin(self.seen, digits, rest)
                return
        if block[:2] == b"\r\n":
            block = block.lstrip(b"\r\n")
        try:
            head = read_request_head(
                block, self.gateway.settings.gateway.max_headers, keep_heli=self.listener is None
            )
        except BadHead as bad:
            self._refuse(bad.status, f"the request is refused: {bad}")
            return
        if head.method == b"GET" and head.target in OWN_ROUTES:
            self.started_ns = 0
            self.answering = self.gateway.loop.create_task(answer_own_route(self, head, rest))
            return
        try:
            target = self.gateway.target_of(self, head)
        except TargetRefusedError as refused:
            self.call = Call(self, Outgoing(head, NOWHERE, block, self.gateway.own_fault), head.length_digits)
            self.started_ns = 0
            self.call.refuse(refused)
            return
        outgoing = Outgoing(head, target, block, self.gateway.own_fault)
        self.seen = outgoing if len(block) <= MOST_SEEN else None
        self._begin(outgoing, head.length_digits, rest)

    def _begin(self, outgoing: Outgoing, digits: bytes, rest: bytes) -> None:
        call = self.call = Call(self, outgoing, digits)
        self.started_ns = 0
        self.window_start, self.window_bytes = self.gateway.now, len(rest)
        taken = call.begin(rest)
        if taken < len(rest):
            self._keep_for_later(rest[taken:])

    def own_route_answered(self, head: RequestHead, reply: bytes, rest: bytes) -> None:
        """One of the gateway's own routes was asked for; `rest` came behind the request's head."""
        self.answering = None
        if self.is_gone:
            return
        self.send(reply)
        self.rests_since = self.gateway.now
        if head.wants_close or head.content_length or head.is_chunked:
            self.hang_up(is_sending=not head.wants_close)
            return
        data, self.buffer = rest + self.buffer, b""
        self.go_on_reading()
        if data:
            self.data_received(data)

    def _next(self) -> None:
        """Go on with the request that came while the last one was answered."""
        is_free = self.call is None and self.answering is None
        if self.buffer and is_free and not self.is_gone and not self.is_leaving:
            data, self.buffer = self.buffer, b""
            self.data_received(data)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        """Answer bytes that are no request, and hang up."""
        self.gateway.counters.heads_refused += 1
        head, body = error_reply(status, reason, b"")
        self.send(head + body)
        self.buffer = b""
        self.hang_up(is_sending=True)

    def refuse_slow(self, reason: str) -> None:
        """The head did not come in time."""
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, reason)

    # What calls say.

    def call_ended(self, call: Call, *, must_close: bool) -> None:
        """The reply is written. Go on with what came meanwhile, or end the connection."""
        self.call = None
        self.rests_since = self.gateway.now
        if self.is_gone:
            return
        if must_close or self.gateway.is_draining or not call.request_body.is_done:
            self.hang_up(is_sending=not call.request_body.is_done)
            return
        self.go_on_reading()
        if self.buffer:  # and stays there: what comes before `_next` runs must stand behind it
            self.gateway.loop.call_soon(self._next)

    def tunnel_started(self) -> None:
        """The connection was upgraded: what came meanwhile belongs to it."""
        if self.buffer and self.call is not None:
            data, self.buffer = self.buffer, b""
            self.call.tunnel_received(data)
            if not self.call.is_held:
                self.go_on_reading()

    def hang_up(self, *, reset: bool = False, is_sending: bool = False) -> None:
        """End the connection once everything written has gone out.

        By a reset, where nobody may take it for an orderly end. Where the caller `is_sending` still, what it
        sends is read and thrown away for a moment, because a reset would take our last words with it.
        """
        self.call = None
        if self.is_gone or self.is_leaving:
            return
        self.flush()
        self.is_leaving = True
        self.rests_since = self.gateway.now
        if reset:
            sock: socket.socket | None = self.transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if is_sending and not reset and self.transport.can_write_eof():
            self.transport.write_eof()
            self.go_on_reading()
        else:
            self.transport.close()

    # What the transport says.

    def eof_received(self) -> bool:
        self.flush()
        self._gone(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone(exc)

    def _gone(self, error: Exception | None) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        self.due = b""
        self.gateway.leave(self)
        call, self.call = self.call, None
        if call is not None:
            call.caller_left(error)

    def pause_writing(self) -> None:
        self.is_full = True
        call = self.call
        if call is not None and call.upstream is not None:
            call.upstream.hold()

    def resume_writing(self) -> None:
        self.is_full = False
        call = self.call
        if call is not None:
            call.touched = self.gateway.now
            if call.upstream is not None:
                call.upstream.let_go()

"""One call: a caller's request on its way to a provider, and the reply on its way back.

The bytes go first; what is recorded of them comes after, and may fail without the call noticing.
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from heli.proxy.gateway.framing import BadFraming, Body, LengthBody, NoBody
from heli.proxy.gateway.heads import HEAD_END, BadHead, ReplyHead, read_reply_head
from heli.proxy.gateway.identity import id_text
from heli.proxy.gateway.outgoing import Outgoing
from heli.proxy.gateway.recording import start_recording
from heli.proxy.gateway.replies import error_reply
from heli.proxy.gateway.targets import TargetRefusedError
from heli.proxy.gateway.upstream import UpstreamConnection
from heli.schema.exchange import Outcome

if TYPE_CHECKING:
    from heli.proxy.gateway.caller import CallerConnection

MOST_REPLAYED = 1024 * 1024
"""A request up to this size is kept until the first byte of the reply, in case it must be sent again."""
MOST_INTERIM = 100
DIGITS_REPLAYED = 6
"""A length of no more digits is below that."""
REPEAT_WITHIN_S = 0.1
"""A resting connection that closes so soon after a request was closing already, as far as one can tell."""


class Call:
    """The state of one exchange."""

    def __init__(self, caller: "CallerConnection", outgoing: Outgoing, digits: bytes) -> None:
        self.caller = caller
        self.outgoing = outgoing
        self.digits = digits
        """The length of the request's body as the caller wrote it; empty if it did not."""
        self.request_body: Body = LengthBody(int(digits)) if digits else outgoing.head.body()
        self.touched = caller.gateway.now
        """When bytes last came from either side, by the coarse clock."""
        self.is_over = False
        self.is_held = False
        """The provider reads slower than the caller sends."""
        self.is_tunnel = False
        """The connection was upgraded: bytes pass both ways until somebody hangs up."""
        self.reply_body: Body | None = None
        """Known once the head of the reply has come."""
        self.reply_buffer = b""
        self.interim_replies = 0
        self.reply_head: ReplyHead | None = None
        self.upstream: UpstreamConnection | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.unsent: list[bytes] | None = None
        """The request so far, for as long as it may have to be sent (again)."""
        self.unsent_bytes = 0
        """What was added to it after the call began."""
        self.sent_at = 0.0
        """When the request began to go out, by the loop's clock."""
        self.recording = start_recording(caller, outgoing, digits)

    # The request.

    def begin(self, rest: bytes) -> int:
        """Send the call off, with the first bytes of its body; return how many of them it took."""
        gateway, outgoing = self.caller.gateway, self.outgoing
        taken = 0
        parts = [outgoing.forwarded(self.digits)]
        if rest and not self.request_body.is_done:
            try:
                taken = self.request_body.take(rest)
            except BadFraming as bad:
                self.fail(HTTPStatus.BAD_REQUEST, Outcome.REFUSED, f"the request's body is broken: {bad}")
                return len(rest)
            parts.append(rest if taken == len(rest) else rest[:taken])
            self.recording.request_part(parts[1], is_last=self.request_body.is_done)
        elif self.request_body.is_done:
            self.recording.request_part(b"", is_last=True)
        self.unsent = parts
        # A request too big to be kept must not risk a connection that may be closing.
        may_reuse = len(self.digits) <= DIGITS_REPLAYED and not outgoing.is_upgrade
        upstream = gateway.pool.take(outgoing.pool_key) if may_reuse else None
        if upstream is not None:
            self._attach(upstream)
        else:
            self._start_connecting()
        return taken

    def _start_connecting(self) -> None:
        self.connecting = self.caller.gateway.connect_for(self)

    def request_received(self, data: bytes) -> int:
        """More of the request's body; return how much of `data` belonged to it."""
        self.touched = self.caller.gateway.now
        try:
            taken = self.request_body.take(data)
        except BadFraming as bad:
            self.fail(HTTPStatus.BAD_REQUEST, Outcome.CLIENT_ABORTED, f"the request's body is broken: {bad}")
            return len(data)
        if taken != len(data):
            data = data[:taken]
        upstream = self.upstream
        if upstream is not None:
            upstream.send(data)
        if self.unsent is not None:
            self.unsent.append(data)
            self.unsent_bytes += taken
            if self.unsent_bytes > MOST_REPLAYED:
                self._bound_unsent()
        self.recording.request_part(data, is_last=self.request_body.is_done)
        return taken

    def _bound_unsent(self) -> None:
        """Keep what may have to be sent again within bounds; wait for the connection if there is none."""
        if self.upstream is not None:
            self.unsent = None
        else:
            self.caller.stop_reading()

    # The connection to the provider.

    def connected(self, upstream: UpstreamConnection) -> None:
        """A connection was made for the call, which may be over by now."""
        self.connecting = None
        if self.is_over:
            upstream.abort()
        elif upstream.is_lost:
            reason = f"{self.outgoing.target.origin} hung up at once"
            self.fail(HTTPStatus.BAD_GATEWAY, Outcome.UPSTREAM_ERROR, reason)
        else:
            self._attach(upstream)

    def _attach(self, upstream: UpstreamConnection) -> None:
        """Send what there is of the request on a connection."""
        self.upstream = upstream
        upstream.call = self
        if self.caller.is_full:
            upstream.hold()
        self.is_held = False
        self.sent_at = self.caller.gateway.loop.time()
        self.recording.sent()
        upstream.send_soon(b"".join(self.unsent or []))
        if not upstream.was_used:
            self.unsent = None
        if not self.is_held:
            self.caller.go_on_reading()

    def upstream_lost(self, error: Exception | None) -> None:
        """The provider ended the connection while it carried this call."""
        upstream, self.upstream = self.upstream, None
        if self.is_over:
            return
        reply_body = self.reply_body
        if self.is_tunnel:
            self._end_tunnel(Outcome.UPSTREAM_ERROR if error else Outcome.COMPLETE, error)
        elif reply_body is not None:
            if reply_body.ends_with_connection and error is None:
                self._reply_ended(b"")
            else:
                self._break_off(
                    Outcome.UPSTREAM_ERROR, f"the reply broke off: {error or 'the connection ended'}", error
                )
        elif upstream is not None and upstream.was_used and self._may_repeat():
            self.caller.gateway.counters.calls_repeated += 1
            self._start_connecting()
        else:
            self.fail(
                HTTPStatus.BAD_GATEWAY,
                Outcome.UPSTREAM_ERROR,
                f"{self.outgoing.target.origin} ended the connection without a reply"
                + (f": {error}" if error else ""),
            )

    def _may_repeat(self) -> bool:
        """The connection was resting and closed as the request went out: sending it again is what callers
        do, and what the caller's own client would have done on a connection of its own."""
        elapsed = self.caller.gateway.loop.time() - self.sent_at
        return self.unsent is not None and not self.reply_buffer and elapsed < REPEAT_WITHIN_S

    def upstream_is_full(self) -> None:
        self.is_held = True
        self.caller.stop_reading()

    def upstream_has_room(self) -> None:
        self.is_held = False
        self.touched = self.caller.gateway.now
        self.caller.go_on_reading()

    # The reply.

    def reply_received(self, data: bytes) -> None:
        """Bytes from the provider."""
        self.touched = self.caller.gateway.now
        if self.reply_body is not None:
            self._pass_reply(data, b"")
        elif self.is_tunnel:
            self.caller.send(data)
            self.recording.reply_part(data)
        else:
            self._read_reply_head(data)

    def _read_reply_head(self, data: bytes) -> None:
        if self.reply_buffer:
            data = self.reply_buffer + data
        end = data.find(HEAD_END)
        if end < 0:
            if len(data) > self.caller.gateway.settings.gateway.max_head_bytes * 4:
                self._bad_reply("its head does not end")
            self.reply_buffer = data
            return
        self.reply_buffer = b""
        block, rest = data[: end + 4], data[end + 4 :]
        try:
            head = read_reply_head(block)
        except BadHead as bad:
            self._bad_reply(str(bad))
            return
        if head.is_interim:
            self._pass_interim(block, rest)
        else:
            self._start_reply(head, rest)

    def _pass_interim(self, block: bytes, rest: bytes) -> None:
        """A reply before the reply, such as `100 Continue`."""
        self.unsent = None
        self.interim_replies += 1
        if self.interim_replies > MOST_INTERIM:
            self._bad_reply("it is announced again and again")
            return
        if self.outgoing.head.version == b"HTTP/1.1":
            self.caller.send(block)
        if rest:
            self._read_reply_head(rest)

    def _bad_reply(self, reason: str) -> None:
        self.fail(
            HTTPStatus.BAD_GATEWAY, Outcome.UPSTREAM_ERROR, f"the provider's reply is not HTTP: {reason}"
        )

    def _start_reply(self, head: ReplyHead, rest: bytes) -> None:
        self.unsent = None
        self.reply_head = head
        self.recording.reply_head(head.status, head.captured)
        lines = [head.first_line, *head.lines]
        if self.recording.id:
            lines.append(b"Helicone-Id: " + id_text(self.recording.id))
            lines.append(b"Helicone-Status: success")
        if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
            if not self.outgoing.is_upgrade:
                self.reply_head = None
                self._bad_reply("it switches protocols, which nobody asked for")
                return
            self._start_tunnel(head, lines, rest)
            return
        self.reply_body = head.body(self.outgoing.head.method)
        if self.outgoing.head.wants_close or self.reply_body.ends_with_connection:
            lines.append(b"Connection: close")
        elif self.outgoing.head.version == b"HTTP/1.0":
            lines.append(b"Connection: keep-alive")
        self._pass_reply(rest, b"\r\n".join([*lines, b"", b""]))

    def _pass_reply(self, data: bytes, head: bytes) -> None:
        """Pass on a piece of the reply, behind its head if that goes out with it."""
        body = self.reply_body
        assert body is not None
        try:
            taken = body.take(data)
        except BadFraming as bad:
            good = data[: bad.good]
            self.caller.send(head + good)
            self.recording.reply_part(good)
            self._break_off(Outcome.UPSTREAM_ERROR, f"the reply is broken: {bad}", None)
            return
        piece = data if taken == len(data) else data[:taken]
        out = head + piece if head else piece
        if body.is_done:
            self.caller.send_soon(out)
        else:
            self.caller.send(out)  # somebody watches it appear
        if piece:
            self.recording.reply_part(piece)
        if body.is_done:
            self._reply_ended(data[taken:])

    def _reply_ended(self, extra: bytes) -> None:
        """The reply is whole. `extra` is what the provider sent behind it, which nobody asked for."""
        upstream, self.upstream = self.upstream, None
        head, body = self.reply_head, self.reply_body
        assert head is not None
        assert body is not None
        if upstream is not None and not upstream.is_lost:
            if head.wants_close or extra or body.ends_with_connection or not self.request_body.is_done:
                upstream.abort()
            else:
                self.caller.gateway.pool.rest(upstream)
        self._over(Outcome.COMPLETE, None)
        must_close = self.outgoing.head.wants_close or body.ends_with_connection
        self.caller.call_ended(self, must_close=must_close)

    # Upgraded connections.

    def _start_tunnel(self, head: ReplyHead, lines: list[bytes], rest: bytes) -> None:
        self.is_tunnel = True
        self.request_body = NoBody()
        self.recording.upgraded()
        upgrade = head.upgrade or self.outgoing.head.upgrade
        lines += [b"Connection: Upgrade", b"Upgrade: " + upgrade, b"", b""]
        self.caller.send(b"\r\n".join(lines) + rest)
        if rest:
            self.recording.reply_part(rest)
        self.caller.tunnel_started()

    def tunnel_received(self, data: bytes) -> None:
        """Bytes from the caller on an upgraded connection."""
        self.touched = self.caller.gateway.now
        if self.upstream is not None:
            self.upstream.send(data)
            self.recording.request_part(data, is_last=False)

    def _end_tunnel(self, outcome: Outcome, error: Exception | None) -> None:
        self._over(outcome, str(error) if error else None)
        self.caller.hang_up(reset=error is not None)

    # Ends.

    def caller_left(self, error: Exception | None) -> None:
        """The caller hung up before the reply was whole."""
        if self.is_over:
            return
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            if self.is_tunnel and error is None:
                upstream.call = None
                upstream.flush()
                upstream.transport.close()
            else:
                upstream.abort()
        if self.is_tunnel and error is None:
            self._over(Outcome.COMPLETE, None)
        else:
            self._over(Outcome.CLIENT_ABORTED, "the caller hung up" + (f": {error}" if error else ""))

    def refuse(self, refused: TargetRefusedError) -> None:
        """Answer in the provider's stead: the call may not go where it asks."""
        self.caller.gateway.counters.targets_refused += 1
        self.fail(refused.status, Outcome.REFUSED, str(refused))

    def fail(self, status: HTTPStatus, outcome: Outcome, reason: str) -> None:
        """End the call for want of a reply: an error of heli's, or a break if the reply had begun."""
        if self.is_over:
            return
        if self.reply_head is not None:
            self._break_off(outcome, reason, None)
            return
        head, body = error_reply(status, reason, self.recording.id)
        self.caller.send(head + body)
        self.recording.own_reply(status.value, body)
        self._drop_upstream()
        self._over(outcome, reason)
        self.caller.call_ended(self, must_close=True)

    def _break_off(self, outcome: Outcome, reason: str, error: Exception | None) -> None:
        """End a reply that cannot become whole in a way that no caller can take for its end."""
        self._drop_upstream()
        self._over(outcome, reason)
        body = self.reply_body
        self.caller.hang_up(reset=error is not None or (body is not None and body.ends_with_connection))

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()

    def _over(self, outcome: Outcome, reason: str | None) -> None:
        """The call is over, whichever way: tell the recorder, once."""
        self.is_over = True
        self.unsent = None
        if self.connecting is not None and self.connecting is not asyncio.current_task():
            self.connecting.cancel()
        self.connecting = None
        self.recording.ended(outcome, reason)

"""The guard between a call and its recording: whatever fails here is counted, and the call goes on."""

from typing import TYPE_CHECKING

from heli.proxy.gateway import faults
from heli.proxy.gateway.capture import Capture
from heli.proxy.gateway.identity import make_id
from heli.proxy.gateway.outgoing import Outgoing
from heli.proxy.gateway.recorder import GROW_BYTES
from heli.schema.exchange import Headers, Listener, Outcome, Reach

if TYPE_CHECKING:
    from heli.proxy.gateway.caller import CallerConnection
    from heli.proxy.gateway.gateway import Gateway


class Recording:
    """What a call tells of itself. Its methods never raise; this one, the base, records nothing.

    It stands for calls that are only passed on, and for those whose recording could not even begin.
    """

    def __init__(self, call_id: bytes = b"") -> None:
        self.id = call_id
        """Empty for calls that are not recorded by intention."""

    def request_part(self, data: bytes, *, is_last: bool) -> None:
        """Bytes of the request's body have passed."""

    def sent(self) -> None:
        """The request begins to go out to the provider."""

    def reply_head(self, status: int, headers: Headers) -> None:
        """The head of the provider's reply has come."""

    def own_reply(self, status: int, body: bytes) -> None:
        """heli answers in the provider's stead."""

    def reply_part(self, data: bytes) -> None:
        """Bytes of the reply's body have passed."""

    def upgraded(self) -> None:
        """The connection was upgraded: from now on the bodies are frames."""

    def ended(self, outcome: Outcome, reason: str | None) -> None:
        """The call is over."""


class LiveRecording(Recording):
    """Records a call."""

    def __init__(self, gateway: "Gateway", capture: Capture) -> None:
        super().__init__(capture.id)
        self._gateway = gateway
        self._recorder = gateway.recorder
        self._capture = capture
        gateway.recorder.begin(capture)

    def request_part(self, data: bytes, *, is_last: bool) -> None:
        capture = self._capture
        try:
            faults.strike("capture_request")
            at_us = capture.now_us()
            if data:
                capture.request.add(data, at_us)
            if is_last:
                capture.request_end_us = at_us
            if capture.is_opened or capture.request.pending > GROW_BYTES:
                self._grown()
        except Exception:
            self._lose("capture_request")

    def sent(self) -> None:
        self._capture.reach = Reach.SENT

    def reply_head(self, status: int, headers: Headers) -> None:
        self._capture.reach = Reach.ANSWERED
        self._reply_begins(status, headers)

    def own_reply(self, status: int, body: bytes) -> None:
        self._reply_begins(status, [])
        self.reply_part(body)

    def _reply_begins(self, status: int, headers: Headers) -> None:
        capture = self._capture
        capture.reply_status = status
        capture.reply_headers = headers
        capture.first_byte_us = capture.now_us()
        if capture.is_opened:
            self._recorder.grown(capture)

    def reply_part(self, data: bytes) -> None:
        capture = self._capture
        try:
            faults.strike("capture_reply")
            capture.reply.add(data, capture.now_us())
            if capture.is_opened or capture.reply.pending > GROW_BYTES:
                self._grown()
        except Exception:
            self._lose("capture_reply")

    def upgraded(self) -> None:
        self._capture.is_websocket = True

    def ended(self, outcome: Outcome, reason: str | None) -> None:
        self._recorder.end(self._capture, outcome, reason)

    def _grown(self) -> None:
        capture = self._capture
        if capture.request.pending > GROW_BYTES or capture.reply.pending > GROW_BYTES:
            self._recorder.flush(capture)
        else:
            self._recorder.grown(capture)

    def _lose(self, point: str) -> None:
        """Recording failed: go on without, and count it when the call ends."""
        self._gateway.own_fault(point)
        self._capture.give_up()


_UNRECORDED = Recording()


def start_recording(caller: "CallerConnection", outgoing: Outgoing, digits: bytes) -> Recording:
    """Begin to record a call. A failure costs the recording, never the call."""
    gateway, listener = caller.gateway, caller.listener
    if listener is None:
        return _UNRECORDED
    call_id = b""
    try:
        faults.strike("identify")
        call_id = gateway.request_ids.choose(outgoing.head)
        return LiveRecording(gateway, _make_capture(caller, listener, outgoing, digits, call_id))
    except Exception:
        gateway.own_fault("identify")
        gateway.counters.calls_unrecorded += 1
        return Recording(call_id or make_id())


def _make_capture(
    caller: "CallerConnection", listener: Listener, outgoing: Outgoing, digits: bytes, call_id: bytes
) -> Capture:
    capture = Capture(
        call_id,
        caller.started_ns,
        caller.started_us,
        Listener.INTERCEPT if outgoing.target.is_intercepted else listener,
        caller.peer,
        caller.gateway.settings.gateway.capture_max_bytes,
    )
    capture.key_digest = outgoing.key_digest
    capture.request_headers = outgoing.captured(digits)
    capture.method = outgoing.method
    capture.path = outgoing.path
    capture.origin = outgoing.target.origin
    return capture

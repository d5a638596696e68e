"""permessage-deflate (RFC 7692), as an extension of wsproto's frame decoder, for captured frames.

wsproto's own extension forgets that a message is compressed when a control frame comes between its
fragments, which the protocol allows, and sets no bound to what it inflates.
"""

import zlib

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from heli.schema.exchange import Headers

_EMPTY_BLOCK = b"\x00\x00\xff\xff"
"""What a sender leaves off the end of each message."""
_CONTROL = (Opcode.CLOSE, Opcode.PING, Opcode.PONG)


class Negotiated:
    """What the server's handshake says of compression."""

    def __init__(self, response_headers: Headers) -> None:
        self.is_deflated = False
        self.takes_over = {"client": True, "server": True}
        """Whether a sender goes on with the window of the message before."""
        self.is_known = True
        """False when an extension was agreed on that heli does not know."""
        for name, value in response_headers:
            if name.lower() == b"sec-websocket-extensions":
                self._read(value.decode("latin-1").lower())

    def _read(self, value: str) -> None:
        for extension in value.split(","):
            name, *parameters = (word.strip() for word in extension.split(";"))
            if name != "permessage-deflate":
                self.is_known = self.is_known and not name
                continue
            self.is_deflated = True
            for side in self.takes_over:
                self.takes_over[side] = f"{side}_no_context_takeover" not in parameters


class Inflating(Extension):
    """One direction. Windows are taken as the largest, which reads what was made with any."""

    name = "permessage-deflate"

    def __init__(self, *, takes_over: bool) -> None:
        self._takes_over = takes_over
        self._inflater: zlib._Decompress | None = None
        self._is_compressed: bool | None = None
        """Whether the message under way is; `None` between messages."""
        self._is_control = False

    def offer(self) -> bool | str:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._is_control = opcode in _CONTROL
        if rsv.rsv1 and (self._is_control or opcode is Opcode.CONTINUATION):
            return CloseReason.PROTOCOL_ERROR
        if not self._is_control and opcode is not Opcode.CONTINUATION:
            self._is_compressed = rsv.rsv1
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        return self._inflate(data) if self._is_compressed and not self._is_control else data

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        if self._is_control or not fin:
            return None
        is_compressed, self._is_compressed = self._is_compressed, None
        if not is_compressed:
            return None
        rest = self._inflate(_EMPTY_BLOCK)
        if not self._takes_over:
            self._inflater = None
        return rest

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        """All that `data` unpacks to: at most a thousand times as much. The reader feeds little at once."""
        if self._inflater is None or self._inflater.eof:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return self._inflater.decompress(data)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA

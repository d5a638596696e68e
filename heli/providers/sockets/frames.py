"""The raw bytes of one direction of a WebSocket, cut into messages (RFC 6455). Never raises, within bounds.

A message that is too long keeps its beginning only; where the bytes are no frames any more, or unpack to more
than anybody sends, reading ends and says why. A frame that was cut off at the end is no trouble.
"""

from collections.abc import Iterable, Iterator

import msgspec
from wsproto.frame_protocol import Frame, FrameDecoder, Opcode, ParseFailed

from heli.providers.sockets.inflating import Inflating, Negotiated
from heli.schema.exchange import ChunkTimes

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_INFLATED_BYTES = 256 * 1024 * 1024
"""Of one direction in all."""
_STEP = 4096
"""Compressed bytes fed at once, which unpack to 4 MiB at most."""
_PLAIN_STEP = 256 * 1024

_KINDS = {Opcode.CLOSE: "close", Opcode.PING: "ping", Opcode.PONG: "pong"}


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message, or a control frame."""

    kind: str
    """`text`, `binary`, `close`, `ping` or `pong`."""
    data: bytes
    at_us: int | None
    """When its last byte had come, in microseconds after the exchange began; `None` when nobody told."""
    wire_bytes: int
    """How many bytes of the connection it took, its frames' heads included."""
    is_cut: bool = False
    """Longer than `MAX_MESSAGE_BYTES`; the rest was left out."""


class FrameReader:
    """Reads one direction, piece by piece."""

    def __init__(self, negotiated: Negotiated, *, from_client: bool) -> None:
        side = "client" if from_client else "server"
        self.trouble = ""
        """Why nothing more is read; empty as long as all goes well."""
        self._side = side
        extensions: list[Inflating] = []
        self._step = _PLAIN_STEP
        if negotiated.is_deflated:
            extensions.append(Inflating(takes_over=negotiated.takes_over[side]))
            self._step = _STEP
        if not negotiated.is_known:
            self.trouble = "the WebSocket uses an extension that heli does not know"
        self._decoder = FrameDecoder(not from_client, extensions)  # type: ignore[arg-type]
        self._kind = ""
        self._parts: list[bytes] = []
        self._size = 0
        self._left = MAX_INFLATED_BYTES
        self._fed = self._told = 0
        self._control = bytearray()

    def feed(self, data: bytes, at_us: int | None = None) -> list[Message]:
        """The messages that these bytes complete."""
        found: list[Message] = []
        for start in range(0, len(data), self._step):
            if self.trouble:
                break
            piece = data[start : start + self._step]
            self._fed += len(piece)
            self._decoder.receive_bytes(piece)
            self._read(found, at_us)
        return found

    def _read(self, found: list[Message], at_us: int | None) -> None:
        try:
            while not self.trouble and (frame := self._decoder.process_buffer()) is not None:
                if message := self._take(frame, at_us):
                    found.append(message)
        except (ParseFailed, AssertionError, ValueError) as error:
            self.trouble = f"a frame of the {self._side} is damaged near byte {self._fed:,}: {error}".rstrip(
                ": "
            )

    def _take(self, frame: Frame, at_us: int | None) -> Message | None:
        payload = frame.payload
        assert isinstance(payload, bytes)
        if frame.opcode in _KINDS:
            return self._tell(_KINDS[frame.opcode], payload, at_us)
        if frame.opcode is Opcode.CONTINUATION:
            if not self._kind:
                raise ParseFailed("a message goes on that did not begin")
        elif self._kind:
            raise ParseFailed("a message begins inside of another")
        else:
            self._kind = "text" if frame.opcode is Opcode.TEXT else "binary"
        self._keep(payload)
        if not (frame.frame_finished and frame.message_finished):
            return None
        is_cut = self._size > MAX_MESSAGE_BYTES
        message = self._tell(self._kind, b"".join(self._parts), at_us, is_cut)
        self._kind, self._parts, self._size = "", [], 0
        return message

    def _keep(self, payload: bytes) -> None:
        room = max(0, MAX_MESSAGE_BYTES - self._size)
        self._size += len(payload)
        self._left -= len(payload)
        if room and payload:
            self._parts.append(payload[:room])
        if self._left < 0:
            self.trouble = (
                f"the messages of the {self._side} unpack to more than {MAX_INFLATED_BYTES:,} bytes"
            )

    def _tell(self, kind: str, data: bytes, at_us: int | None, is_cut: bool = False) -> Message:
        consumed = self._fed - len(self._decoder.buffer)
        wire_bytes, self._told = consumed - self._told, consumed
        return Message(kind, data, at_us, wire_bytes, is_cut)


def read_messages(reader: FrameReader, body: bytes, chunks: ChunkTimes) -> Iterator[Message]:
    """All messages of a body, each with the time of the chunk that completed it."""
    for at_us, piece in _timed(body, chunks):
        yield from reader.feed(piece, at_us)
        if reader.trouble:
            return


def _timed(body: bytes, chunks: ChunkTimes) -> Iterable[tuple[int | None, bytes]]:
    position = 0
    for at_us, size in chunks:
        if position >= len(body):
            return
        yield at_us, body[position : position + size]
        position += size
    if position < len(body):
        yield (chunks[-1][0] if chunks else None), body[position:]

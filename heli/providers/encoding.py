"""Bodies as they crossed the wire, undone: chunked transfer, then gzip, deflate, br and zstd.

A body that was cut in the middle yields what came before the cut; one that unpacks to more than the limit is
cut there. Nothing here raises.
"""

import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import msgspec
import zstandard

from heli.providers.chunked import Unchunker, looks_chunked, unchunk
from heli.schema.exchange import ChunkTimes, Headers

MAX_DECODED_BYTES = 256 * 1024 * 1024
"""What a body may unpack to: far above any real reply, far below what would take the process down."""

_STEP = 256 * 1024

type Feed = Callable[[bytes], bytes]
"""Takes the next piece of a body and gives what it unpacks to."""


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A body without its transfer and content encodings."""

    data: bytes
    trouble: str = ""
    """Why it is not whole, or not decoded; empty when all went well."""


def decode_body(headers: Headers, wire_bytes: bytes) -> bytes:
    """The body that the sender meant, as far as it can be told from what crossed the wire."""
    return decode(headers, wire_bytes).data


def decode(headers: Headers, wire_bytes: bytes) -> Decoded:
    """Like `decode_body`, and says what was wrong."""
    if not wire_bytes:
        return Decoded(b"")
    chunked, codings = _encodings(headers)
    data = wire_bytes
    if chunked and (unchunked := unchunk(wire_bytes)) is not None:
        data = unchunked
    for coding in reversed(codings):
        data, trouble = _unpack(coding, data)
        if trouble:
            return Decoded(data, trouble)
    return Decoded(data)


def arrival_us(headers: Headers, wire_bytes: bytes, chunks: ChunkTimes, offset: int) -> int | None:
    """When the decoded body had grown to `offset` bytes, in microseconds after the exchange began.

    `None` when the chunk times do not tell.
    """
    chunked, codings = _encodings(headers)
    steps: list[Feed] = [Unchunker().feed] if chunked and looks_chunked(wire_bytes) else []
    steps += [_unpacker(coding).feed for coding in reversed(codings)]
    position = decoded_bytes = 0
    for at_us, size in chunks:
        piece = wire_bytes[position : position + size]
        position += size
        for step in steps:
            piece = step(piece)
        decoded_bytes += len(piece)
        if decoded_bytes >= offset:
            return at_us
    return None


def _encodings(headers: Headers) -> tuple[bool, list[str]]:
    """Whether the transfer was chunked, and the content codings in the order they were applied."""
    chunked = False
    codings: list[str] = []
    for name, value in headers:
        if len(name) not in (16, 17):
            continue
        lowered = name.lower()
        if lowered == b"transfer-encoding":
            chunked = chunked or b"chunked" in value.lower()
        elif lowered == b"content-encoding":
            codings += value.decode("latin-1").lower().split(",")
    return chunked, [coding for each in codings if (coding := each.strip()) and coding != "identity"]


class _Unpacker:
    """One content coding undone piece by piece, with a bound on what comes out in all."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._left = MAX_DECODED_BYTES
        self.trouble = ""

    def feed(self, piece: bytes) -> bytes:
        if self.trouble or not piece:
            return b""
        try:
            data = self._feed(piece)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            self.trouble = f"could not be decompressed: {error}"
            return b""
        if len(data) > self._left:
            self.trouble = f"unpacks to more than {MAX_DECODED_BYTES} bytes"
        data = data[: self._left]
        self._left -= len(data)
        return data


def _unpack(coding: str, data: bytes) -> tuple[bytes, str]:
    unpacker = _unpacker(coding)
    pieces = []
    for start in range(0, len(data), _STEP):
        pieces.append(unpacker.feed(data[start : start + _STEP]))
        if unpacker.trouble:
            break
    return b"".join(pieces), unpacker.trouble and f"body ({coding}) {unpacker.trouble}"


def _unpacker(coding: str) -> _Unpacker:
    match coding:
        case "gzip" | "x-gzip":
            return _Unpacker(_Inflate(zlib.MAX_WBITS | 16).feed)
        case "deflate":
            return _Unpacker(_Deflate().feed)
        case "br":
            return _Unpacker(_Brotli().feed)
        case "zstd":
            return _Unpacker(_Zstd().feed)
        case _:
            # An encoding that heli does not know: the bytes stay as they are.
            return _Unpacker(bytes)


class _Inflate:
    """zlib's own formats; a gzip body may consist of several members."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._inflater = zlib.decompressobj(wbits)

    def feed(self, piece: bytes) -> bytes:
        data = [self._inflater.decompress(piece, MAX_DECODED_BYTES)]
        while self._inflater.eof and self._inflater.unused_data.strip(b"\0"):
            rest = self._inflater.unused_data
            self._inflater = zlib.decompressobj(self._wbits)
            data.append(self._inflater.decompress(rest, MAX_DECODED_BYTES))
        return b"".join(data)


class _Deflate:
    """`deflate` means zlib's format, but servers also send it raw."""

    def __init__(self) -> None:
        self._inflate: _Inflate | None = None

    def feed(self, piece: bytes) -> bytes:
        if self._inflate is not None:
            return self._inflate.feed(piece)
        self._inflate = _Inflate(zlib.MAX_WBITS)
        try:
            return self._inflate.feed(piece)
        except zlib.error:
            self._inflate = _Inflate(-zlib.MAX_WBITS)
            return self._inflate.feed(piece)


class _Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def feed(self, piece: bytes) -> bytes:
        return bytes(self._decompressor.process(piece, output_buffer_limit=MAX_DECODED_BYTES))


class _Zstd:
    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj(
            read_across_frames=True
        )

    def feed(self, piece: bytes) -> bytes:
        data: list[bytes] = []
        total = 0
        # In small steps, as one call gives out all that a step unpacks to.
        for start in range(0, len(piece), 1024):
            data.append(self._decompressor.decompress(piece[start : start + 1024]))
            total += len(data[-1])
            if total > MAX_DECODED_BYTES:
                break
        return b"".join(data)

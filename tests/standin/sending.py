"""Puts a reply on the wire, well or badly, as the scenario says."""

import gzip
import itertools
import zlib
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Protocol

import brotli
import zstandard

from tests.standin.replies import Reply
from tests.standin.scenario import BROKEN_FRAMINGS, Scenario, pattern
from tests.standin.wire import Wire


class BrokenOnPurposeError(Exception):
    """The connection was broken, as the scenario wanted; nothing more can be sent on it."""


class _Compressor(Protocol):
    def compress(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...


class _Deflate:
    """zlib's compressor, flushed after each piece so that a stream's events leave at once."""

    def __init__(self, window: int) -> None:
        self._inner = zlib.compressobj(level=6, wbits=window)

    def compress(self, data: bytes) -> bytes:
        return self._inner.compress(data) + self._inner.flush(zlib.Z_SYNC_FLUSH)

    def flush(self) -> bytes:
        return self._inner.flush()


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Compressor(quality=4)

    def compress(self, data: bytes) -> bytes:
        return bytes(self._inner.process(data) + self._inner.flush())

    def flush(self) -> bytes:
        return bytes(self._inner.finish())


class _Zstandard:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdCompressor(level=3).compressobj()

    def compress(self, data: bytes) -> bytes:
        return self._inner.compress(data) + self._inner.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def flush(self) -> bytes:
        return self._inner.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


def _compressor(encoding: str) -> _Compressor:
    match encoding:
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstandard()
        case "gzip":
            return _Deflate(zlib.MAX_WBITS | 16)
        case _:
            return _Deflate(zlib.MAX_WBITS)


def compress(data: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(data, mtime=0)
    inner = _compressor(encoding)
    return inner.compress(data) + inner.flush()


def _compressed(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    inner = _compressor(encoding)
    for piece in pieces:
        if data := inner.compress(piece):
            yield data
    if tail := inner.flush():
        yield tail


class Sender:
    """Sends one reply. Raises `BrokenOnPurposeError` after breaking, `PeerGoneError` when the peer left."""

    def __init__(self, wire: Wire, scenario: Scenario, *, is_head: bool, keep_alive: bool) -> None:
        self._wire = wire
        self._scenario = scenario
        self._is_head = is_head
        self._keep_alive = keep_alive

    async def send(self, reply: Reply) -> bool:
        """Return whether the connection can be used again."""
        scenario = self._scenario
        await self._wire.pause(scenario.delay_s + (scenario.stall_s if scenario.stall_at == "head" else 0))
        await self._break_at("before_head")
        if scenario.framing == "empty":
            await self._wire.break_with("fin")
            raise BrokenOnPurposeError
        for status in scenario.informational:
            await self._wire.write(
                _status_line("HTTP/1.1", status) + b"link: </style.css>; rel=preload\r\n\r\n"
            )
        pieces, size, count = self._pieces(reply)
        framing = scenario.framing or ("length" if size is not None else "chunked")
        head = self._head(reply, framing, size)
        if scenario.drop == "mid_head":
            await self._wire.write(head[: len(head) // 2])
            await self._break_at("mid_head")
        await self._wire.write(head)
        await self._break_at("after_head")
        if not self._is_head and reply.status not in (204, 304):
            await self._body(pieces, framing, count)
        if framing in BROKEN_FRAMINGS:
            await self._wire.break_with("fin")
            raise BrokenOnPurposeError
        return self._keep_alive and framing not in ("close", "http10")

    def _pieces(self, reply: Reply) -> tuple[Iterator[bytes], int | None, int]:
        """The body's pieces, its length if known beforehand, and about how many pieces there are."""
        scenario = self._scenario
        if scenario.body_bytes is not None:
            size = scenario.body_bytes
            return pattern(size), size, -(-size // (1 << 16))
        if reply.events is not None:
            events = reply.events
            if scenario.encoding:
                return _compressed(events, scenario.encoding), None, len(events)
            size = sum(map(len, events)) if scenario.framing else None
            return iter(events), size, len(events)
        body = compress(reply.body, scenario.encoding) if scenario.encoding else reply.body
        count = max(1, min(scenario.chunks or 2, len(body)))
        marks = [len(body) * i // count for i in range(count + 1)]
        return (body[a:b] for a, b in itertools.pairwise(marks)), len(body), count

    def _head(self, reply: Reply, framing: str, size: int | None) -> bytes:
        scenario = self._scenario
        if framing == "garbage":
            return b"\x16\x03\x01\x00\xff this is not HTTP \x00\xfe\r\n\r\n"
        version = {"http10": "HTTP/1.0", "bad_version": "HTTP/9.9"}.get(framing, "HTTP/1.1")
        line = b"HTTP/1.1 2x0 Fine\r\n" if framing == "bad_status" else _status_line(version, reply.status)
        headers = list(reply.headers)
        if scenario.body_bytes is not None:
            headers = [("content-type", "application/octet-stream")]
        if scenario.encoding:
            headers.append(("content-encoding", scenario.encoding))
        if scenario.retry_after is not None:
            headers.append(("retry-after", f"{scenario.retry_after:g}"))
        headers += scenario.headers
        if scenario.trailers:
            headers.append(("trailer", ", ".join(name for name, _ in scenario.trailers)))
        if reply.status not in (204, 304):
            headers += _framing_headers(framing, size or 0)
        if not self._keep_alive or framing == "close":
            headers.append(("connection", "close"))
        return (
            line
            + b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in headers)
            + _odd_lines(framing)
            + b"\r\n"
        )

    async def _body(self, pieces: Iterator[bytes], framing: str, count: int) -> None:
        scenario = self._scenario
        is_chunked = framing in (
            "chunked", "bad_chunk", "cut_chunk", "no_last_chunk", "length_and_chunked"
        )  # fmt: skip
        middle = count // 2
        for number, piece in enumerate(pieces):
            if number and scenario.interval_ms:
                await self._wire.pause(scenario.interval_ms / 1000)
            if number == middle:
                await self._at_middle(framing)
            if piece:
                await self._wire.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if scenario.stall_at == "end":
            await self._wire.pause(scenario.stall_s)
        await self._break_at("at_end")
        if framing in ("chunked", "length_and_chunked"):
            trailers = "".join(f"{name}: {value}\r\n" for name, value in scenario.trailers)
            await self._wire.write(b"0\r\n" + trailers.encode("latin-1") + b"\r\n")

    async def _at_middle(self, framing: str) -> None:
        if self._scenario.stall_at == "body":
            await self._wire.pause(self._scenario.stall_s)
        await self._break_at("mid_body", "mid_sse")
        if framing == "bad_chunk":
            await self._wire.write(b"zz\r\noh\r\n")
        elif framing == "cut_chunk":
            await self._wire.write(b"ffff\r\ncut")
        if framing in ("bad_chunk", "cut_chunk", "no_last_chunk"):
            await self._wire.break_with("fin")
            raise BrokenOnPurposeError

    async def _break_at(self, *places: str) -> None:
        if self._scenario.drop in places:
            await self._wire.break_with(self._scenario.drop_with)
            raise BrokenOnPurposeError


def _status_line(version: str, status: int) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Whatever"
    return f"{version} {status} {reason}\r\n".encode()


def _framing_headers(framing: str, size: int) -> list[tuple[str, str]]:
    match framing:
        case "close" | "http10":
            return []
        case "chunked" | "bad_chunk" | "cut_chunk" | "no_last_chunk":
            return [("transfer-encoding", "chunked")]
        case "wrong_length":
            return [("content-length", str(size + 100))]
        case "short_length":
            return [("content-length", str(max(0, size - 10)))]
        case "two_lengths":
            return [("content-length", str(size)), ("content-length", str(size + 7))]
        case "negative_length":
            return [("content-length", f"-{size}")]
        case "length_and_chunked":
            return [("content-length", str(size)), ("transfer-encoding", "chunked")]
        case "unknown_coding":
            return [("transfer-encoding", "frob")]
        case _:
            return [("content-length", str(size))]


def _odd_lines(framing: str) -> bytes:
    match framing:
        case "bad_header":
            return b"this line has no colon\r\n"
        case "nul_header":
            return b"x-nul: a\x00b\r\n"
        case "huge_head":
            return b"x-huge: " + b"h" * (1 << 20) + b"\r\n"
        case _:
            return b""

"""Puts the pieces of a call together again: what was known when it opened, what came, how it ended."""

import struct
from array import array

import msgspec

from heli.schema.exchange import (
    MAX_CHUNK_TIMES,
    ChunkTimes,
    Direction,
    Exchange,
    Grown,
    Headers,
    Outcome,
    Reach,
)

INTERRUPTED = "the gateway process ended while the call was in flight"
END_DROPPED = "how the call ended is unknown: the spool was full"
END_UNREADABLE = "how the call ended is unknown: another release of heli wrote it down"


MAX_SOCKET_TIMES = 65_536
"""Of a WebSocket: the gateway tells of new bytes five times a second at least, so for hours."""
SWITCHING_PROTOCOLS = 101
_ARRAY_32 = struct.Struct(">BI")
"""How msgpack begins a list: its kind and its length."""

_encoder = msgspec.msgpack.Encoder()


class _Growth:
    """What the pieces of one direction add up to. A WebSocket of hours has many of them."""

    def __init__(self, body: bytes, chunks: ChunkTimes) -> None:
        self.body = bytearray(body)
        self._times = array("q")
        """When each chunk came and how long it was, in turns."""
        self.add(b"", chunks)

    def add(self, data: bytes, chunks: ChunkTimes) -> None:
        self.body += data
        for chunk in chunks:
            self._times.extend(chunk)
        self._bound(MAX_SOCKET_TIMES)

    def times(self, *, is_websocket: bool) -> msgspec.Raw:
        """The chunk times, encoded. A WebSocket of hours carries many calls, which are told apart by these.

        As a list of pairs they would take ten times the memory.
        """
        self._bound(MAX_SOCKET_TIMES if is_websocket else MAX_CHUNK_TIMES)
        packed = bytearray(_ARRAY_32.pack(0xDD, len(self._times) // 2))
        for pair in zip(self._times[::2], self._times[1::2], strict=True):
            _encoder.encode_into(pair, packed, -1)
        return msgspec.Raw(packed)

    def _bound(self, most: int) -> None:
        last = 2 * most - 1
        if len(self._times) > last + 1:
            self._times[last:] = array("q", [sum(self._times[last::2])])

    @property
    def wire_bytes(self) -> int:
        """How many bytes crossed the wire, which is more than was kept when the body was cut."""
        return max(len(self.body), sum(self._times[1::2]))


class Assembly:
    """One call, being put together in the order in which its pieces came."""

    def __init__(self, opened: Exchange) -> None:
        self._opened = opened
        self._request = _Growth(opened.request_body, opened.request_chunks)
        self._response = _Growth(opened.response_body, opened.response_chunks)
        self._status = opened.response_status
        self._headers: Headers = opened.response_headers
        self._first_byte_us = opened.first_byte_us

    def grow(self, piece: Grown) -> None:
        growth = self._request if piece.direction == Direction.REQUEST else self._response
        growth.add(piece.data, piece.chunks)
        if piece.response_headers is not None:
            self._headers = piece.response_headers
        if piece.response_status is not None:
            self._status = piece.response_status
        if piece.first_byte_us is not None:
            self._first_byte_us = piece.first_byte_us

    def reaches(self, closed: Exchange) -> bool:
        """Whether, with what the end brings, every byte that crossed the wire is accounted for."""
        ends = (closed.request_body, closed.request_chunks), (closed.response_body, closed.response_chunks)
        wanted = closed.request_body_bytes, closed.response_body_bytes
        return all(
            growth.wire_bytes + max(len(body), sum(size for _, size in chunks)) >= wire_bytes
            for growth, (body, chunks), wire_bytes in zip(
                (self._request, self._response), ends, wanted, strict=True
            )
        )

    @property
    def is_answered(self) -> bool:
        return self._status is not None

    @property
    def is_websocket(self) -> bool:
        """The beginning may have been written down before the connection was upgraded."""
        return self._opened.is_websocket or self._status == SWITCHING_PROTOCOLS

    def close(self, closed: Exchange, *, has_hole: bool) -> msgspec.Raw:
        """The exchange, encoded, as its end tells it. Nothing is kept of bodies behind a missing piece."""
        if not has_hole:
            self._request.add(closed.request_body, closed.request_chunks)
            self._response.add(closed.response_body, closed.response_chunks)
        return _encode(
            closed,
            request_body=self._request.body,
            request_chunks=self._request.times(is_websocket=closed.is_websocket),
            response_body=self._response.body,
            response_chunks=self._response.times(is_websocket=closed.is_websocket),
            bodies_dropped=closed.bodies_dropped or has_hole,
        )

    def interrupt(self, error: str, *, has_hole: bool) -> msgspec.Raw:
        """The exchange, encoded, as it stands, when nobody told its end."""
        is_websocket = self.is_websocket
        return _encode(
            self._opened,
            outcome=Outcome.INTERRUPTED,
            error=error,
            request_body=self._request.body,
            request_body_bytes=max(self._request.wire_bytes, self._opened.request_body_bytes),
            request_chunks=self._request.times(is_websocket=is_websocket),
            response_status=self._status,
            response_headers=self._headers,
            response_body=self._response.body,
            response_body_bytes=max(self._response.wire_bytes, self._opened.response_body_bytes),
            response_chunks=self._response.times(is_websocket=is_websocket),
            is_websocket=is_websocket,
            first_byte_us=self._first_byte_us,
            bodies_dropped=self._opened.bodies_dropped or has_hole,
            reach=self._opened.reach if self._status is None else Reach.ANSWERED,
        )


def close_alone(closed: Exchange) -> msgspec.Raw:
    """The end, encoded, of a call whose beginning is lost: its heads are whole, its bodies are not."""
    return _encode(
        closed,
        request_body=b"",
        request_chunks=[],
        response_body=b"",
        response_chunks=[],
        bodies_dropped=True,
    )


def _encode(exchange: Exchange, **changes: object) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(msgspec.structs.replace(exchange, **changes)))

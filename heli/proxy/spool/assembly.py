"""Puts the pieces of a call together again: what was known when it opened, what came, how it ended."""

from collections.abc import Iterable

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


class _Growth:
    """What the pieces of one direction add up to."""

    def __init__(self, body: bytes, chunks: ChunkTimes) -> None:
        self.pieces = [body]
        self.chunks: ChunkTimes = []
        self.add(b"", chunks)

    def add(self, data: bytes, chunks: ChunkTimes) -> None:
        self.pieces.append(data)
        self.chunks += chunks
        self._bound(MAX_SOCKET_TIMES)

    def times(self, *, is_websocket: bool) -> ChunkTimes:
        """A WebSocket of hours carries many calls, which are told apart by these."""
        self._bound(MAX_SOCKET_TIMES if is_websocket else MAX_CHUNK_TIMES)
        return self.chunks

    def _bound(self, most: int) -> None:
        if len(self.chunks) > most:
            when, _ = self.chunks[most - 1]
            rest = sum(size for _, size in self.chunks[most - 1 :])
            self.chunks[most - 1 :] = [(when, rest)]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def wire_bytes(self) -> int:
        """How many bytes crossed the wire, which is more than was kept when the body was cut."""
        return max(sum(map(len, self.pieces)), sum(size for _, size in self.chunks))


class Assembly:
    """One call, being put together in the order in which its pieces came."""

    def __init__(self, opened: Exchange) -> None:
        self._opened = opened
        self._request = _Growth(opened.request_body, opened.request_chunks)
        self._response = _Growth(opened.response_body, opened.response_chunks)
        self._status = opened.response_status
        self._headers: Headers = opened.response_headers
        self._first_byte_us = opened.first_byte_us

    def grow(self, pieces: Iterable[Grown]) -> None:
        for piece in pieces:
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

    def close(self, closed: Exchange, *, has_hole: bool) -> Exchange:
        """The call as its end tells it. Behind a missing piece nothing is kept of the bodies."""
        if not has_hole:
            self._request.add(closed.request_body, closed.request_chunks)
            self._response.add(closed.response_body, closed.response_chunks)
        return msgspec.structs.replace(
            closed,
            request_body=self._request.body,
            request_chunks=self._request.times(is_websocket=closed.is_websocket),
            response_body=self._response.body,
            response_chunks=self._response.times(is_websocket=closed.is_websocket),
            bodies_dropped=closed.bodies_dropped or has_hole,
        )

    def interrupt(self, error: str, *, has_hole: bool) -> Exchange:
        """The call as it stands, when nobody told its end."""
        # The beginning may have been written down before the connection was upgraded.
        is_websocket = self._opened.is_websocket or self._status == SWITCHING_PROTOCOLS
        return msgspec.structs.replace(
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


def close_alone(closed: Exchange) -> Exchange:
    """The end of a call whose beginning is lost: its heads are whole, its bodies are not."""
    return msgspec.structs.replace(
        closed,
        request_body=b"",
        request_chunks=[],
        response_body=b"",
        response_chunks=[],
        bodies_dropped=True,
    )

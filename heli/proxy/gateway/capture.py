"""A copy of each call: gathered as the bytes pass, and given to the spool piece by piece.

Bytes are kept as references to what the sockets delivered; nothing is parsed, joined or copied before a
record is made. A call that ends within one tick becomes one record. A longer one is opened at the next
tick, grows while bytes flow, and is closed at its end, so that memory stays small and a crash leaves
what was seen.
"""

import time
from typing import Final, cast

from heli.schema.exchange import (
    MAX_CHUNK_TIMES,
    ChunkTimes,
    Direction,
    Exchange,
    Headers,
    Listener,
    Outcome,
    Reach,
)

_clock: Final = time.perf_counter_ns


class Side:
    """One body of a call: what has not been recorded yet, and how much there was in all."""

    __slots__ = ("chunk_count", "chunks", "counted_us", "kept", "most", "parts", "recorded", "total")

    def __init__(self, most: int) -> None:
        self.most = most
        """How many bytes are kept; 0 once a piece could not be recorded: nothing may come behind a hole."""
        self.parts: list[bytes] = []
        self.chunks: ChunkTimes = []
        self.kept = 0
        """Bytes recorded or to be recorded."""
        self.recorded = 0
        self.total = 0
        self.chunk_count = 0
        self.counted_us = 0
        """When bytes that are not kept were recorded last, by their count alone."""

    @property
    def pending(self) -> int:
        """Bytes in `parts`."""
        return self.kept - self.recorded

    def add(self, data: bytes, at_us: int) -> None:
        """Take a piece that has just passed; what is over `most` in all is only counted."""
        size = len(data)
        kept = self.kept + size
        if kept > self.most or self.chunk_count >= MAX_CHUNK_TIMES:
            self._add_bounded(data, at_us)
            return
        self.total += size
        self.kept = kept
        self.chunk_count += 1
        self.chunks.append((at_us, size))
        self.parts.append(data)

    def _add_bounded(self, data: bytes, at_us: int) -> None:
        size = len(data)
        self.total += size
        self.chunk_count += 1
        room = self.most - self.kept
        if not self.chunks or (room > 0 and self.chunk_count <= MAX_CHUNK_TIMES):
            self.chunks.append((at_us, size))
        else:
            last_us, last_size = self.chunks[-1]
            self.chunks[-1] = (last_us, last_size + size)
        if room > 0:
            self.parts.append(data[:room])
            self.kept += min(size, room)

    def take(self) -> tuple[bytes, ChunkTimes]:
        """What has not been recorded yet; it counts as recorded from now on."""
        data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        chunks = self.chunks
        self.parts, self.chunks, self.recorded = [], [], self.kept
        return data, chunks

    def close(self) -> None:
        """Keep no more bytes of this body; go on counting them."""
        self.most = 0
        self.parts, self.recorded = [], self.kept


class Capture:
    """What is known of one call under way."""

    origin = ""
    method = ""
    path = ""
    request_headers: Headers
    key_digest: bytes | None = None
    request_end_us: int | None = None
    first_byte_us: int | None = None
    reply_status: int | None = None
    reply_headers: Headers
    upstream_status: int | None = None
    reach = Reach.NOT_SENT
    is_websocket = False
    is_opened = False
    """The spool holds the beginning of it."""
    is_dirty = False
    """It stands in the recorder's list of calls that have something new."""
    reply_told = False
    """The spool holds the head of the reply."""
    ended = False
    broken = False
    """Recording it has failed; the call goes on without."""
    lacks_room = False
    """Bytes of a body were left out because the spool was nearly full."""

    def __init__(
        self, call_id: bytes, started_ns: int, started_us: int, listener: Listener, peer: str, most: int
    ) -> None:
        self.id = call_id
        self.started_ns = started_ns
        self.started_us = started_us
        self.listener = listener
        self.peer = peer
        self.request_headers = []
        self.reply_headers = []
        self.request = Side(most)
        self.reply = Side(most)

    def now_us(self) -> int:
        """Microseconds since the call began."""
        return _clock() // 1000 - self.started_us

    def exchange(
        self,
        outcome: Outcome,
        worker: str,
        error: str | None = None,
        end_us: int | None = None,
        bodies_dropped: bool = False,
    ) -> Exchange:
        """Everything known, with the bytes that no record holds yet; they count as recorded.

        Enums are given by their values: the same on the wire, and no work for the encoder.
        """
        request, request_chunks = self.request.take()
        reply, reply_chunks = self.reply.take()
        if bodies_dropped:
            self.lacks_room = self.lacks_room or bool(request or reply)
            request = reply = b""
            self.drop_bodies()
        return Exchange(
            id=self.id,
            started_ns=self.started_ns,
            listener=cast(Listener, self.listener._value_),
            outcome=cast(Outcome, outcome._value_),
            origin=self.origin,
            method=self.method,
            path=self.path,
            request_headers=self.request_headers,
            request_body=request,
            request_body_bytes=self.request.total,
            request_chunks=request_chunks,
            response_status=self.reply_status,
            response_headers=self.reply_headers,
            response_body=reply,
            response_body_bytes=self.reply.total,
            response_chunks=reply_chunks,
            request_end_us=self.request_end_us,
            first_byte_us=self.first_byte_us,
            end_us=end_us,
            error=error,
            key_digest=self.key_digest,
            peer=self.peer,
            worker=worker,
            bodies_dropped=self.lacks_room,
            is_websocket=self.is_websocket,
            upstream_status=self.upstream_status,
            reach=self._final_reach(end_us),
        )

    def _final_reach(self, end_us: int | None) -> Reach | None:
        """What stands if nothing more is heard: a call that is still to be sent may be so in a moment."""
        if end_us is None and self.reach is Reach.NOT_SENT:
            return None
        return cast(Reach, self.reach._value_)

    def give_up(self) -> None:
        """Recording has failed: keep nothing more of the call."""
        self.broken = True
        self.drop_bodies()

    def drop_bodies(self) -> None:
        """Record no more of either body."""
        self.request.close()
        self.reply.close()

    def side(self, direction: Direction) -> Side:
        return self.request if direction is Direction.REQUEST else self.reply

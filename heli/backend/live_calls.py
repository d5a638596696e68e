"""The calls in flight, put together from the records that the shipper relays; within bounds.

Knows nothing of subscribers: the hub in `live` asks which calls changed and what their exchange is so far.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from heli.backend.ingest.attribution import read_attribution
from heli.backend.live_filter import NOTHING, Known
from heli.schema.exchange import Closed, Direction, Exchange, Grown, Opened, Record, Whole
from heli.schema.live import LiveCall

MAX_CALLS = 5_000
MAX_CALL_BYTES = 256 * 1024
"""How much of each call is looked at; what comes later counts but is not kept."""
MAX_BYTES = 64 * 1024 * 1024
"""All calls together."""
SILENCE_S = 900.0
"""A call of which nothing came for this long is given up."""


class CallInFlight:
    """One call as far as it came."""

    __slots__ = (
        "exchange",
        "heard_at",
        "is_announced",
        "is_changed",
        "is_closed",
        "known",
        "request",
        "response",
        "session_id",
        "told",
    )

    def __init__(self, exchange: Exchange, now: float) -> None:
        self.exchange = exchange
        self.request = bytearray(exchange.request_body)
        self.response = bytearray(exchange.response_body)
        self.heard_at = now
        self.is_announced = False
        self.is_changed = True
        self.is_closed = False
        self.told = LiveCall(id=exchange.request_id, created_at=_utc(exchange.started_ns))
        """What subscribers were told last."""
        self.known: Known = NOTHING
        """What filters may ask of it."""
        self.session_id = read_attribution(exchange.request_headers).session_id

    @property
    def kept_bytes(self) -> int:
        return len(self.request) + len(self.response)

    def so_far(self) -> Exchange:
        """The exchange with what is known of its bodies."""
        return msgspec.structs.replace(
            self.exchange, request_body=bytes(self.request), response_body=bytes(self.response)
        )


class CallsInFlight:
    """All of them, by id. Not for use from two threads."""

    def __init__(self) -> None:
        self._calls: dict[bytes, CallInFlight] = {}
        self._kept_bytes = 0

    def __len__(self) -> int:
        return sum(not call.is_closed for call in self._calls.values())

    def count_in(self, session_id: str) -> int:
        """Those of one session."""
        return sum(call.session_id == session_id and not call.is_closed for call in self._calls.values())

    def __contains__(self, call_id: bytes) -> bool:
        return call_id in self._calls

    @property
    def kept_bytes(self) -> int:
        """Bytes of bodies in memory."""
        return self._kept_bytes

    def consume(self, records: Iterable[Record], now: float) -> None:
        """Take in what the shipper relayed; records of calls whose beginning nobody saw are passed over."""
        for record in records:
            match record:
                case Opened(exchange=exchange):
                    self._open(exchange, now)
                case Grown(id=call_id):
                    if call := self._calls.get(call_id):
                        self._grow(call, record, now)
                case Closed(exchange=exchange):
                    if call := self._calls.get(exchange.id):
                        call.is_closed, call.heard_at = True, now
                case Whole():
                    pass

    def changed(self, limit: int) -> list[CallInFlight]:
        """Calls with news since they were asked for last, the ones that waited longest first."""
        news = [call for call in self._calls.values() if call.is_changed and not call.is_closed]
        news.sort(key=lambda call: (call.is_announced, call.heard_at))
        for call in news[:limit]:
            call.is_changed = False
        return news[:limit]

    def announced(self) -> list[CallInFlight]:
        """The calls that were told of and are still in flight, oldest first."""
        return [call for call in self._calls.values() if call.is_announced and not call.is_closed]

    def remove(self, call_ids: Iterable[bytes]) -> None:
        for call_id in call_ids:
            if call := self._calls.pop(call_id, None):
                self._kept_bytes -= call.kept_bytes

    def expire(self, now: float) -> list[CallInFlight]:
        """Give up the calls of which nothing came for long; returns them."""
        silent = {id: call for id, call in self._calls.items() if now - call.heard_at > SILENCE_S}
        self.remove(silent)
        return list(silent.values())

    def _open(self, exchange: Exchange, now: float) -> None:
        if exchange.id in self._calls:
            return
        if len(self._calls) >= MAX_CALLS:
            self.remove([next(iter(self._calls))])
        room = self._room(0)
        call = CallInFlight(
            msgspec.structs.replace(
                exchange,
                request_body=exchange.request_body[:room],
                response_body=exchange.response_body[: max(0, room - len(exchange.request_body))],
            ),
            now,
        )
        self._calls[exchange.id] = call
        self._kept_bytes += call.kept_bytes

    def _grow(self, call: CallInFlight, grown: Grown, now: float) -> None:
        call.heard_at = now
        data = grown.data[: self._room(call.kept_bytes)]
        # What is not looked at is no news: a WebSocket of hours would be looked at in vain.
        call.is_changed = call.is_changed or bool(data) or grown.response_headers is not None
        (call.request if grown.direction is Direction.REQUEST else call.response).extend(data)
        self._kept_bytes += len(data)
        if grown.response_headers is not None:
            call.exchange = msgspec.structs.replace(
                call.exchange,
                response_status=grown.response_status,
                response_headers=grown.response_headers,
                first_byte_us=grown.first_byte_us,
            )

    def _room(self, kept_by_call: int) -> int:
        return max(0, min(MAX_CALL_BYTES - kept_by_call, MAX_BYTES - self._kept_bytes))


def _utc(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)

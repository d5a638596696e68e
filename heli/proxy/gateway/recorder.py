"""Turns captures into records of the spool, at each tick and at each end. It may fail; calls may not."""

import asyncio
import logging
import time
from typing import Protocol

from heli.proxy.gateway import faults
from heli.proxy.gateway.capture import Capture
from heli.proxy.gateway.counters import Counters
from heli.schema.exchange import (
    Closed,
    Direction,
    Grown,
    Opened,
    Outcome,
    Whole,
    encode_record,
)

log = logging.getLogger(__name__)

OPEN_AFTER_S = 0.025
"""A call still in flight after so long is opened in the spool, so that a crash leaves a trace of it."""
GROW_EVERY_TICKS = 8
"""Calls in flight tell what is new at every so many ticks: five times a second."""
GROW_BYTES = 256 * 1024
"""Or as soon as so much has gathered."""
COUNT_EVERY_S = 10
"""Bytes of which none is kept are told of no more often: there is nothing to tell but their count."""


class SpoolWriter(Protocol):
    """What the recorder needs of a spool."""

    is_nearly_full: bool
    """Whether only heads should still be given."""

    def append(self, record: bytes, *, body_bytes: int = 0) -> bool:
        """Take a record, for a sync soon; `False` when it had to be dropped. Never blocks, never raises."""

    def count_dropped_body(self, body_bytes: int, bodies: int = 1) -> None:
        """Bodies were left out because the spool is nearly full."""


class Recorder:
    """Keeps the calls in flight of one worker and gives them to its spool."""

    def __init__(
        self, spool: SpoolWriter, worker: str, counters: Counters, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._spool = spool
        self._worker = worker
        self._counters = counters
        self._loop = loop
        self._fresh: list[Capture] = []
        """Calls that began since the last tick."""
        self._dirty: list[Capture] = []
        """Opened calls that have something new."""
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, capture: Capture) -> None:
        """A call has begun."""
        self._fresh.append(capture)
        self._wake()

    def grown(self, capture: Capture) -> None:
        """Bytes were added to a call that is opened already."""
        if not capture.is_dirty:
            capture.is_dirty = True
            self._dirty.append(capture)
            self._wake()

    def _wake(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(OPEN_AFTER_S, self._tick)

    def _tick(self) -> None:
        """Open what has been in flight for a while and write down what is new."""
        self._timer = None
        try:
            faults.strike("tick")
            self._ticks += 1
            self._open_fresh()
            if self._ticks % GROW_EVERY_TICKS == 0:
                dirty, self._dirty = self._dirty, []
                for capture in dirty:
                    capture.is_dirty = False
                    self.flush(capture)
        except Exception:
            self._fresh, self._dirty = [], []
            self._failed("tick")
        if self._fresh or self._dirty:
            self._wake()

    def _open_fresh(self) -> None:
        fresh, self._fresh = self._fresh, []
        for capture in fresh:
            if capture.ended or capture.is_opened:
                continue
            if capture.now_us() < OPEN_AFTER_S * 500_000:
                self._fresh.append(capture)
            else:
                self._open(capture)

    def _open(self, capture: Capture) -> None:
        """Give the spool the beginning of a call."""
        try:
            faults.strike("open_record")
            capture.is_opened = True
            capture.reply_told = capture.reply_status is not None
            exchange = capture.exchange(
                Outcome.INTERRUPTED, self._worker, bodies_dropped=self._must_drop(capture)
            )
            body_bytes = len(exchange.request_body) + len(exchange.response_body)
            if not self._append(Opened(exchange=exchange), body_bytes):
                capture.is_opened = False
                capture.lacks_room = capture.lacks_room or body_bytes > 0
                capture.drop_bodies()
        except Exception:
            capture.give_up()
            self._failed("open_record")

    def flush(self, capture: Capture) -> None:
        """Give the spool what is new of a call in flight."""
        if capture.ended or capture.broken:
            return
        if not capture.is_opened:
            self._open(capture)
            return
        try:
            faults.strike("grow_record")
            self._grow(capture, Direction.REQUEST)
            self._grow(capture, Direction.RESPONSE)
        except Exception:
            capture.give_up()
            self._failed("grow_record")

    def _grow(self, capture: Capture, direction: Direction) -> None:
        tells_head = (
            direction is Direction.RESPONSE and not capture.reply_told and capture.reply_status is not None
        )
        side = capture.side(direction)
        if not side.chunks and not tells_head:
            return
        if not side.parts and not tells_head:
            now_us = capture.now_us()
            if now_us < side.counted_us + COUNT_EVERY_S * 1_000_000:
                return
            side.counted_us = now_us
        data, chunks = side.take()
        if self._spool.is_nearly_full:
            self._spool.count_dropped_body(len(data))
            capture.lacks_room = capture.lacks_room or bool(data)
            data = b""
            side.close()
        record = Grown(id=capture.id, direction=direction, data=data, chunks=chunks)
        if tells_head:
            capture.reply_told = True
            record = Grown(
                id=capture.id,
                direction=direction,
                data=data,
                chunks=chunks,
                response_status=capture.reply_status,
                response_headers=capture.reply_headers,
                first_byte_us=capture.first_byte_us,
            )
        if not self._append(record, len(data)):
            capture.lacks_room = True
            side.close()
        if len(data) >= GROW_BYTES:
            time.sleep(0)  # a busy loop lets the spool's thread wait for the interpreter otherwise

    def end(self, capture: Capture, outcome: Outcome, error: str | None = None) -> None:
        """A call has ended, one way or the other."""
        if capture.ended:
            return
        capture.ended = True
        if outcome is Outcome.COMPLETE:
            self._counters.calls_complete += 1
        else:
            self._counters.calls[outcome] += 1
        if capture.broken:
            self._counters.calls_unrecorded += 1
            return
        try:
            faults.strike("close_record")
            exchange = capture.exchange(
                outcome, self._worker, error, capture.now_us(), self._must_drop(capture)
            )
            record = Closed(exchange=exchange) if capture.is_opened else Whole(exchange=exchange)
            self._append(record, len(exchange.request_body) + len(exchange.response_body))
        except Exception:
            self._counters.calls_unrecorded += 1
            self._failed("close_record")

    def _must_drop(self, capture: Capture) -> bool:
        """Whether to leave out the bodies for want of room; counts them."""
        if not self._spool.is_nearly_full:
            return False
        pending = capture.request.pending + capture.reply.pending
        if pending:
            self._spool.count_dropped_body(pending)
        return True

    def _append(self, record: Opened | Grown | Closed | Whole, body_bytes: int) -> bool:
        faults.strike("spool")
        return self._spool.append(encode_record(record), body_bytes=body_bytes)

    def _failed(self, what: str) -> None:
        """Count a failure of heli's own, and tell it once in a while."""
        self._counters.own_faults += 1
        if self._counters.own_faults % 1000 == 1:
            log.exception("recording failed at %s; the calls go on", what)

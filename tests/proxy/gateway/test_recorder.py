"""What the recorder tells the spool of a call in flight."""

import asyncio
import time

from heli.proxy.gateway.capture import Capture
from heli.proxy.gateway.counters import Counters
from heli.proxy.gateway.recorder import COUNT_EVERY_S, Recorder
from heli.schema.exchange import Closed, Grown, Listener, Opened, Outcome, Record, decode_record


class _Told:
    """A spool that keeps what it is told."""

    is_nearly_full = False

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: bytes, *, body_bytes: int = 0) -> bool:
        self.records.append(decode_record(record))
        return True

    def count_dropped_body(self, body_bytes: int, bodies: int = 1) -> None:
        raise AssertionError("there is room")


def test_bytes_that_are_not_kept_are_counted_now_and_then() -> None:
    """A WebSocket of hours would otherwise leave five records a second of nothing."""
    spool = _Told()
    loop = asyncio.new_event_loop()
    recorder = Recorder(spool, "gateway-0", Counters(), loop)
    capture = Capture(bytes(16), 0, time.perf_counter_ns() // 1000, Listener.OPENAI, "", most=10)
    recorder.flush(capture)
    capture.request.add(b"x" * 20, 5)
    recorder.flush(capture)
    for at_us in range(100, 105):
        capture.request.add(b"y" * 7, at_us)
        recorder.flush(capture)
    assert [type(record) for record in spool.records] == [Opened, Grown]

    capture.started_us -= COUNT_EVERY_S * 1_000_000
    recorder.flush(capture)
    capture.request.add(b"z", 200)
    recorder.flush(capture)
    recorder.end(capture, Outcome.COMPLETE)
    loop.close()

    _, kept, counted, closed = spool.records
    assert isinstance(kept, Grown)
    assert isinstance(counted, Grown)
    assert isinstance(closed, Closed)
    assert (kept.data, kept.chunks) == (b"x" * 10, [(5, 20)])
    assert (counted.data, counted.chunks) == (b"", [(100, 35)])
    assert (closed.exchange.request_body_bytes, closed.exchange.request_chunks) == (56, [(200, 1)])

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_backend import FakeBackend
from spool_helpers import a_closed, a_grown, a_whole, an_opened, spool_settings, wait_until

from heli.proxy.spool.live import LiveFollower, LiveRelay
from heli.proxy.spool.stopping import Stop
from heli.proxy.spool.writer import Spool
from heli.schema.exchange import encode_record


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool.open(tmp_path / "spool" / "gateway-0", spool_settings(segment_bytes=4096))
    yield spool
    spool.close()


def put(spool: Spool, *records: bytes) -> None:
    for record in records:
        assert spool.append(record)
    assert spool.wait_until_synced(10)


def test_a_follower_tells_calls_in_flight_from_now_on(spool: Spool) -> None:
    put(spool, an_opened(1))
    follower = LiveFollower(spool.folder)
    assert follower.read() == []

    put(spool, a_whole(2), an_opened(3), a_grown(3))
    assert follower.read() == [an_opened(3), a_grown(3)]
    put(spool, a_closed(3))
    assert follower.read() == [a_closed(3)]
    assert follower.read() == []
    follower.close()


def test_a_follower_goes_on_to_the_next_segment(spool: Spool) -> None:
    follower = LiveFollower(spool.folder)
    pieces = [a_grown(1, b"%d" % number + b"x" * 1000) for number in range(6)]
    told = []
    for piece in pieces:
        put(spool, piece)
        told += follower.read()
    assert told == pieces
    follower.close()


def test_a_follower_that_lags_jumps_to_the_end(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heli.proxy.spool.live._LAG_BYTES", 1000)
    follower = LiveFollower(spool.folder)
    put(spool, *[a_grown(1, b"old" * 100) for _ in range(8)])
    assert follower.read() == []
    put(spool, a_grown(1, b"new"))
    assert follower.read() == [a_grown(1, b"new")]
    follower.close()


def test_a_follower_that_skips_goes_on_behind_what_it_skipped(spool: Spool) -> None:
    follower = LiveFollower(spool.folder)
    for number in range(6):
        put(spool, a_grown(1, b"old %d" % number + b"x" * 1000))
        follower.skip()
    put(spool, a_grown(1, b"new"))
    assert follower.read() == [a_grown(1, b"new")]
    follower.close()


def test_the_relay_posts_records_and_forgets_what_is_not_taken(spool: Spool) -> None:
    backend = FakeBackend().start()
    stop = Stop()
    is_up = threading.Event()
    relay = LiveRelay(spool.folder.parent, backend.url, "secret", stop, is_up.is_set)
    assert relay.read() == []
    relay.start()
    put(spool, an_opened(1))
    skips = relay.skips
    wait_until(lambda: relay.skips >= skips + 2)
    is_up.set()
    put(spool, an_opened(2), a_grown(2))
    backend.wait_for(lambda: len(backend.live) == 2)
    stop.ask()
    relay.join(10)
    backend.stop()
    assert [encode_record(record) for record in backend.live] == [an_opened(2), a_grown(2)]

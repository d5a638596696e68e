import os
import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_backend import FakeBackend
from spool_helpers import (
    a_closed,
    a_grown,
    a_whole,
    an_exchange,
    an_id,
    an_opened,
    spool_settings,
    wait_until,
)

from heli.proxy.spool.backlog import Backlog
from heli.proxy.spool.dead_letters import list_dead_letters, replay_dead_letters
from heli.proxy.spool.segments import list_segments
from heli.proxy.spool.sending import BackendConnection
from heli.proxy.spool.shipper import Shipper
from heli.proxy.spool.stopping import Stop
from heli.proxy.spool.survey import survey
from heli.proxy.spool.writer import Spool
from heli.schema.exchange import MAX_CHUNK_TIMES, Direction, Outcome


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    backend = FakeBackend().start()
    yield backend
    backend.stop()


SOCKET_PAUSE_S = 0.05


class Running:
    """A shipper in a thread, a folder for spools and one for dead letters."""

    def __init__(self, root: Path, backend: FakeBackend) -> None:
        self.spool = root / "spool"
        self.spool.mkdir()
        self.dead_letters = root / "dead-letters"
        self.backend = backend
        self.start()

    def start(self) -> None:
        self.stop = Stop()
        self.connection = BackendConnection(self.backend.url, "secret", timeout_s=5)
        self.shipper = Shipper(self.spool, self.dead_letters, self.connection, self.stop, SOCKET_PAUSE_S)
        self.thread = threading.Thread(target=self.shipper.run)
        self.thread.start()

    def end(self) -> None:
        self.stop.ask()
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.connection.close()

    def settle(self) -> None:
        """Wait until nothing waits any more, and what was shipped is deleted."""
        wait_until(lambda: all(status.records == 0 for status in survey(self.spool)))
        wait_until(lambda: all(len(list_segments(folder)) <= 1 for folder in self.spool.glob("gateway-*")))


@pytest.fixture
def running(tmp_path: Path, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr("heli.proxy.spool.shipper._LOOK_FOR_FOLDERS_S", 0.01)
    running = Running(tmp_path, backend)
    yield running
    running.end()


def test_what_is_spooled_arrives_and_is_deleted(running: Running, backend: FakeBackend) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings(segment_bytes=4096))
    for number in range(100):
        spool.append(a_whole(number))
    backend.wait_for_stored(100)
    spool.close()

    assert backend.stored == {an_id(number): an_exchange(number) for number in range(100)}
    assert set(backend.tokens) == {"Bearer secret"}
    running.settle()
    [status] = survey(running.spool)
    assert (status.records, status.oldest_s, status.dead_letters) == (0, None, 0)
    assert set(backend.sent.values()) == {1}


def test_an_idle_spool_ships_a_new_exchange_at_once(running: Running, backend: FakeBackend) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    spool.append(a_whole(1))
    backend.wait_for_stored(1)
    for number in range(2, 6):
        threading.Event().wait(0.15)
        spool.append(a_whole(number))
        assert spool.wait_until_synced(5)
        backend.wait_for_stored(number, timeout_s=1)
    spool.close()


def test_a_call_in_flight_is_put_together_when_it_ends(running: Running, backend: FakeBackend) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings(segment_bytes=600))
    spool.append(an_opened(1, request_body=b"ques", request_chunks=[(1, 4)]))
    spool.append(a_grown(1, b"tion", direction=Direction.REQUEST, chunks=[(2, 4)]))
    for number in range(2, 30):
        spool.append(a_whole(number))
        spool.append(a_grown(1, b"<%d>" % number, response_status=200 if number == 2 else None))
    backend.wait_for_stored(28)
    assert an_id(1) not in backend.stored
    body = b"".join(b"<%d>" % number for number in range(2, 30)) + b"tail"
    spool.append(
        a_closed(
            1,
            request_body_bytes=8,
            response_body=b"tail",
            response_chunks=[(99, 4)],
            response_body_bytes=len(body),
        )
    )
    backend.wait_for_stored(29)
    spool.close()

    call = backend.stored[an_id(1)]
    assert (call.request_body, call.request_chunks) == (b"question", [(1, 4), (2, 4)])
    assert call.response_body == body
    assert sum(size for _, size in call.response_chunks) == len(body)
    assert (call.outcome, call.end_us, call.bodies_dropped) == (Outcome.COMPLETE, 30, False)
    running.settle()


UPGRADED = {"response_status": 101, "response_headers": [(b"Upgrade", b"websocket")], "first_byte_us": 7}


def test_a_websocket_is_told_of_while_it_goes_on_and_again_at_its_end(
    running: Running, backend: FakeBackend
) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    spool.append(an_opened(1, request_body=b"", request_body_bytes=0))
    spool.append(an_opened(2))
    spool.append(a_grown(2, b"half an answer", response_status=200, response_headers=[]))
    spool.append(a_grown(1, b"", chunks=[], **UPGRADED))
    spool.append(a_grown(1, b"asked", direction=Direction.REQUEST, chunks=[(10, 5)]))
    spool.append(a_grown(1, b"told", chunks=[(20, 4)]))
    backend.wait_for(lambda: bool(backend.open))
    spool.append(a_grown(1, b" more", chunks=[(30, 5)]))
    backend.wait_for(lambda: backend.open[-1].response_body == b"told more")

    told = backend.open[-1]
    assert {call.id for call in backend.open} == {an_id(1)}
    assert (told.is_websocket, told.end_us, told.request_body) == (True, None, b"asked")
    assert told.response_chunks == [(20, 4), (30, 5)]
    assert backend.stored == {}
    end = {"is_websocket": True, "request_body_bytes": 5, "response_body_bytes": 9, "request_chunks": []}
    spool.append(a_closed(1, response_status=101, **end))
    spool.append(a_closed(2))
    backend.wait_for_stored(2)
    spool.close()
    assert backend.stored[an_id(1)].response_body == b"told more"
    assert not backend.stored[an_id(1)].bodies_dropped
    running.settle()


def test_a_websocket_of_which_no_more_is_kept_is_not_told_of_again(
    running: Running, backend: FakeBackend
) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    for number in (1, 2):
        spool.append(an_opened(number, request_body=b"", request_body_bytes=0))
        spool.append(a_grown(number, b"all that is kept", chunks=[(10, 16)], **UPGRADED))
    backend.wait_for(lambda: {call.id for call in backend.open} == {an_id(1), an_id(2)})
    told = len(backend.open)
    for number in range(3):
        spool.append(a_grown(1, b"", chunks=[(20 + number, 1_000)]))
        spool.append(a_grown(2, b"+", chunks=[(20 + number, 1)]))
        backend.wait_for(lambda kept=17 + number: len(backend.open[-1].response_body) == kept)

    assert {call.id for call in backend.open[told:]} == {an_id(2)}
    ends = {"is_websocket": True, "response_status": 101, "request_body_bytes": 0, "request_chunks": []}
    spool.append(a_closed(1, response_body_bytes=3_016, **ends))
    backend.wait_for_stored(1)
    spool.close()
    assert backend.stored[an_id(1)].response_chunks == [(10, 16), (20, 1_000), (21, 1_000), (22, 1_000)]


def test_a_websocket_is_told_of_again_when_the_backend_was_not_well(
    running: Running, backend: FakeBackend
) -> None:
    backend.open_status = 503
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    spool.append(an_opened(1, request_body=b"", request_body_bytes=0))
    spool.append(a_grown(1, b"all there is", chunks=[(10, 12)], **UPGRADED))
    backend.wait_for(lambda: len(backend.open) >= 3)
    spool.close()


def test_a_websocket_of_hours_keeps_the_times_by_which_its_calls_are_told_apart(
    running: Running, backend: FakeBackend
) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    pieces = 3
    each = MAX_CHUNK_TIMES
    spool.append(an_opened(1, request_body=b"", request_body_bytes=0))
    for piece in range(pieces):
        times = [(piece * each + number, 1) for number in range(each)]
        spool.append(a_grown(1, bytes(each), chunks=times, **(UPGRADED if piece == 0 else {})))
    ends = {"response_status": 101, "request_body_bytes": 0, "response_body_bytes": pieces * each}
    spool.append(a_closed(1, is_websocket=True, request_chunks=[], **ends))
    backend.wait_for_stored(1)
    spool.close()
    assert backend.stored[an_id(1)].response_chunks == [(at, 1) for at in range(pieces * each)]


def test_a_websocket_whose_writer_is_gone_is_one_though_it_was_opened_before_its_upgrade(
    running: Running, backend: FakeBackend
) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    spool.append(an_opened(1, request_body=b"", request_body_bytes=0))
    spool.append(a_grown(1, b"told", chunks=[(20, 4)], **UPGRADED))
    spool.close()
    backend.wait_for_stored(1)
    assert backend.stored[an_id(1)].is_websocket
    assert backend.stored[an_id(1)].outcome is Outcome.INTERRUPTED


def test_a_call_whose_writer_is_gone_is_interrupted(running: Running, backend: FakeBackend) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    spool.append(an_opened(1))
    spool.append(
        a_grown(1, b"half an ", response_status=200, response_headers=[(b"A", b"b")], first_byte_us=7)
    )
    spool.append(a_grown(1, b"answer"))
    spool.append(an_opened(2))
    spool.append(a_whole(3))
    backend.wait_for_stored(1)
    assert set(backend.stored) == {an_id(3)}

    spool.close()
    backend.wait_for_stored(3)

    call = backend.stored[an_id(1)]
    assert call.outcome is Outcome.INTERRUPTED
    assert call.error == "the gateway process ended while the call was in flight"
    assert (call.response_body, call.response_body_bytes) == (b"half an answer", 14)
    assert (call.response_status, call.response_headers, call.first_byte_us) == (200, [(b"A", b"b")], 7)
    assert call.end_us is None
    running.settle()


def test_a_new_writer_in_the_same_folder_ends_the_calls_of_the_old_one(
    tmp_path: Path, backend: FakeBackend
) -> None:
    folder = tmp_path / "spool" / "gateway-0"
    for number in range(3):
        spool = Spool.open(folder, spool_settings())
        spool.append(an_opened(number))
        if number < 2:
            spool.close()
    assert spool.wait_until_synced(5)
    backlog = Backlog(folder)
    batch = backlog.gather()
    assert batch is not None
    assert [each.id for each in batch.exchanges] == [an_id(0), an_id(1)]
    backlog.close()
    spool.close()


def test_the_end_of_a_call_that_was_dropped_is_not_waited_for(running: Running, backend: FakeBackend) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    spool.append(an_opened(1))
    spool.append(a_closed(1, response_body=b"x" * 90_000_000))
    backend.wait_for_stored(1)
    call = backend.stored[an_id(1)]
    assert (call.outcome, call.bodies_dropped) == (Outcome.INTERRUPTED, True)
    assert call.error == "how the call ended is unknown: the spool was full"
    spool.close()


def test_nothing_is_lost_while_the_backend_is_away(running: Running, backend: FakeBackend) -> None:
    backend.stop()
    spool = Spool.open(running.spool / "gateway-0", spool_settings(segment_bytes=20_000))
    for number in range(500):
        spool.append(a_whole(number))
    assert spool.wait_until_synced(10)
    running.end()
    running.start()
    backend.start()
    backend.wait_for_stored(500)
    spool.close()
    running.settle()


@pytest.mark.parametrize("status", [500, 503, 429, 401, 404, 302])
def test_a_batch_is_sent_again_until_it_is_taken(
    running: Running, backend: FakeBackend, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heli.proxy.spool.shipper._FIRST_PAUSE_S", 0.01)
    backend.refuse = lambda _exchanges: (status, "not now") if len(backend.batches) <= 3 else None
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    spool.append(a_whole(1))
    backend.wait_for_stored(1)
    assert [ids for _, ids in backend.batches] == [[an_id(1)]] * 4
    assert len({token for token, _ in backend.batches}) == 1
    spool.close()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_poisoned_batch_is_halved_until_the_poison_is_alone(
    running: Running, backend: FakeBackend, status: int
) -> None:
    poison = {an_id(number) for number in random.Random(status).sample(range(1000), 10)}
    backend.refuse = lambda exchanges: (status, "bad") if poison & {each.id for each in exchanges} else None
    backend.stop()
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    for number in range(1000):
        spool.append(a_whole(number))
    assert spool.wait_until_synced(10)
    backend.start()

    backend.wait_for_stored(990)
    running.settle()

    letters = {each.file: each.reason for each in list_dead_letters(running.dead_letters)}
    assert {uuid.UUID(file.stem).bytes for file in letters} == poison
    assert set(letters.values()) == {f"HTTP {status}: bad"}
    [status_] = survey(running.spool, running.dead_letters)
    assert status_.dead_letters == 10
    spool.close()


def test_rejected_exchanges_are_dead_letters_and_can_be_sent_again(
    running: Running, backend: FakeBackend
) -> None:
    backend.reject = lambda each: "no such month" if each.id == an_id(3) else None
    spool = Spool.open(running.spool / "gateway-0", spool_settings())
    for number in range(5):
        spool.append(a_whole(number))
    backend.wait_for_stored(4)
    running.settle()
    [letter] = list_dead_letters(running.dead_letters)
    assert letter.reason == "no such month"

    connection = BackendConnection(backend.url, "secret", 5)
    assert replay_dead_letters([letter], connection) == (0, 1)
    assert letter.file.exists()
    backend.reject = lambda _each: None
    assert replay_dead_letters([letter], connection) == (1, 0)
    connection.close()

    assert backend.stored[an_id(3)] == an_exchange(3)
    assert list(running.dead_letters.rglob("*.*")) == []
    spool.close()


def test_a_lost_answer_doubles_nothing(
    running: Running, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heli.proxy.spool.shipper._PACE_S", 0.0)
    monkeypatch.setattr("heli.proxy.spool.backlog.MAX_EXCHANGES", 20)
    chance = random.Random(20)
    lost = [chance.random() < 0.2 for _ in range(10_000)]
    backend.loses_answer = lost.__getitem__
    spool = Spool.open(running.spool / "gateway-0", spool_settings(segment_bytes=50_000))
    for number in range(1500):
        spool.append(a_whole(number, response_body=b"x" * 300))
        if number % 50 == 0:
            assert spool.wait_until_synced(10)
    backend.wait_for_stored(1500)
    running.settle()
    assert len(backend.stored) == 1500
    # A batch that is sent again has the same ends.
    assert len({(token, tuple(ids)) for token, ids in backend.batches}) == len(
        {t for t, _ in backend.batches}
    )
    assert len(backend.batches) > 75
    assert max(backend.sent.values()) > 1
    spool.close()


def test_a_long_call_does_not_keep_the_segments_of_others(running: Running, backend: FakeBackend) -> None:
    spool = Spool.open(running.spool / "gateway-0", spool_settings(segment_bytes=200_000))
    spool.append(an_opened(0))
    for number in range(1, 400):
        spool.append(a_grown(0, b"%d;" % number))
        spool.append(a_whole(number, response_body=os.urandom(10_000)))
        if number % 20 == 0:
            assert spool.wait_until_synced(10)
            backend.wait_for_stored(number)
    [status] = survey(running.spool)
    assert status.bytes < 1_500_000

    running.end()
    running.start()
    spool.append(
        a_closed(0, request_body_bytes=10, response_body_bytes=sum(len(b"%d;" % n) for n in range(1, 400)))
    )
    backend.wait_for(lambda: an_id(0) in backend.stored)
    assert backend.stored[an_id(0)].response_body == b"".join(b"%d;" % number for number in range(1, 400))
    assert not backend.stored[an_id(0)].bodies_dropped
    spool.close()
    running.settle()

import errno
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from forgetful import ForgetfulFileSystem
from spool_helpers import (
    FailingFileSystem,
    a_closed,
    a_grown,
    a_whole,
    an_id,
    an_opened,
    payloads,
    spool_settings,
    wait_until,
)

from heli.proxy.spool.backlog import Backlog
from heli.proxy.spool.counters import Count, read_counters
from heli.proxy.spool.file_system import REAL
from heli.proxy.spool.folder_room import FolderRoom
from heli.proxy.spool.group_writer import GroupWriter
from heli.proxy.spool.holes import TOMBSTONE
from heli.proxy.spool.lock import take_lock
from heli.proxy.spool.segments import list_segments
from heli.proxy.spool.writer import QUEUE_BYTES, Spool
from heli.schema.errors import ConflictError
from heli.schema.exchange import Closed, decode_record


def test_what_is_appended_is_on_disk_in_order_when_it_is_synced(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "gateway-0", spool_settings())
    records = [a_whole(number) for number in range(300)]

    assert all(spool.append(record) for record in records)
    assert spool.wait_until_synced(10)

    assert payloads(spool.folder) == records
    assert read_counters(spool.folder)[Count.RECORDS_WRITTEN] == 300
    spool.close()


def test_close_writes_what_waits_and_then_drops(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, spool_settings(sync_interval_ms=5000))
    spool.append(a_whole(1))
    spool.append(a_whole(2))

    spool.close()

    assert not spool.append(a_whole(3))
    assert payloads(tmp_path) == [a_whole(1), a_whole(2)]
    assert spool.counters[Count.RECORDS_DROPPED] == 1


def test_segments_end_at_their_bound_and_a_bigger_record_has_one_alone(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, spool_settings(segment_bytes=4096))
    records = [a_whole(number, response_body=b"x" * 500) for number in range(20)]
    records.insert(7, a_whole(99, response_body=b"x" * 10_000))

    for record in records:
        spool.append(record)
    spool.close()

    assert payloads(tmp_path) == records
    sizes = [segment.file.stat().st_size for segment in list_segments(tmp_path)]
    assert [size for size in sizes if size > 4096] == [size for size in sizes if size > 10_000]
    assert len(sizes) >= 5


def test_a_folder_has_one_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heli.proxy.spool.lock._PATIENCE_S", 0.05)
    first = Spool.open(tmp_path, spool_settings())
    with pytest.raises(ConflictError, match="in use"):
        Spool.open(tmp_path, spool_settings())
    first.close()
    Spool.open(tmp_path, spool_settings()).close()


def test_a_new_life_of_a_writer_begins_a_segment_at_once(tmp_path: Path) -> None:
    for _ in range(3):
        Spool.open(tmp_path, spool_settings()).close()
    segments = list_segments(tmp_path)
    assert [segment.number for segment in segments] == [1, 2, 3]
    assert len({segment.incarnation for segment in segments}) == 3


def test_a_full_spool_drops_new_records_counts_them_and_takes_more_when_there_is_room(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, spool_settings(max_bytes=40_000, segment_bytes=4096))
    record = a_whole(1, response_body=b"x" * 1000)
    taken = 0
    while spool.append(record, body_bytes=1000):
        taken += 1
        assert spool.wait_until_synced(10)

    assert spool.is_nearly_full
    assert 25 <= taken <= 40
    assert payloads(tmp_path) == [record] * taken
    assert spool.counters[Count.RECORDS_DROPPED] == 1
    assert spool.counters[Count.BODY_BYTES_DROPPED] == 1000

    for segment in list_segments(tmp_path)[:-1]:
        segment.file.unlink()
    wait_until(lambda: not spool.is_nearly_full)
    assert spool.append(record)
    spool.close()


def test_the_disk_is_full_and_nothing_is_lost_that_fits_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FailingFileSystem()
    disk.torn_bytes = 60
    spool = Spool.open(tmp_path, spool_settings(), disk)
    spool.append(a_whole(0))
    assert spool.wait_until_synced(10)
    with caplog.at_level(logging.WARNING, "heli.spool"):
        disk.fails = lambda call, _nth: call == "write"
        records = [a_whole(number) for number in range(1, 30)]
        for record in records:
            assert spool.append(record)
        wait_until(lambda: spool.counters[Count.WRITE_ERRORS] >= 2)
        assert spool.is_nearly_full
        disk.fails = lambda _call, _nth: False
        assert spool.wait_until_synced(5)

    assert payloads(tmp_path) == [a_whole(0), *records]
    assert len(caplog.records) == 1
    wait_until(lambda: not spool.is_nearly_full)
    spool.close()


@pytest.mark.parametrize("call", ["open", "write", "fdatasync", "truncate", "sync_folder"])
@pytest.mark.parametrize("nth", range(4))
@pytest.mark.parametrize("torn_bytes", [0, 30, 400])
def test_no_failing_call_loses_or_doubles_a_record(
    tmp_path: Path, call: str, nth: int, torn_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heli.proxy.spool.writer._RETRY_S", 0.002)
    disk = FailingFileSystem(
        lambda asked, before: (asked == call and before == nth) or (asked == "write" and before % 4 == 3)
    )
    disk.torn_bytes = torn_bytes
    spool = Spool.open(tmp_path, spool_settings(segment_bytes=1500), disk)
    records = [a_whole(number) for number in range(12)]
    for record in records:
        assert spool.append(record)
        assert spool.wait_until_synced(10)
    spool.close()
    assert payloads(tmp_path) == records


def test_a_disk_that_stays_full_costs_what_waits_and_says_how_much(tmp_path: Path) -> None:
    disk = FailingFileSystem()
    spool = Spool.open(tmp_path, spool_settings(), disk)
    disk.fails = lambda call, _nth: call == "write"
    for number in range(5):
        spool.append(a_whole(number))

    spool.close(timeout_s=0.05)

    assert read_counters(tmp_path)[Count.RECORDS_DROPPED] == 5
    assert payloads(tmp_path) == []


def test_memory_is_bounded_while_the_disk_takes_nothing(tmp_path: Path) -> None:
    disk = FailingFileSystem(lambda call, _nth: call == "write")
    spool = Spool.open(tmp_path, spool_settings(), disk)
    record = a_whole(1, response_body=b"x" * 1_000_000)
    taken = sum(spool.append(record) for _ in range(100))
    assert taken == QUEUE_BYTES // (len(record) + 20)
    assert spool.counters[Count.RECORDS_DROPPED] == 100 - taken
    spool.close(timeout_s=0)


def test_the_folder_cannot_be_used_at_the_start_and_is_taken_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heli.proxy.spool.writer._RETRY_S", 0.01)
    blocker = tmp_path / "spool"
    blocker.write_text("a file where the folder should be")

    spool = Spool.open(blocker / "gateway-0", spool_settings())
    assert spool.append(a_whole(1))
    assert spool.is_nearly_full
    blocker.unlink()

    assert spool.wait_until_synced(10)
    assert payloads(spool.folder) == [a_whole(1)]
    spool.close()


def test_pieces_behind_a_dropped_one_are_dropped_and_the_end_has_no_bodies(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, spool_settings())
    spool.append(an_opened(1))
    too_long = a_grown(1, b"x" * (QUEUE_BYTES + 1))
    assert not spool.append(too_long, body_bytes=QUEUE_BYTES + 1)
    assert not spool.append(a_grown(1, b"small again"), body_bytes=11)
    assert spool.append(a_grown(2, b"another call's"))
    assert spool.append(a_closed(1, response_body=b"tail", response_body_bytes=99), body_bytes=4)
    spool.close()

    *before, end = payloads(tmp_path)
    assert before == [an_opened(1), a_grown(2, b"another call's")]
    closed = decode_record(end)
    assert isinstance(closed, Closed)
    assert closed.exchange.bodies_dropped
    assert (closed.exchange.response_body, closed.exchange.response_body_bytes) == (b"", 99)
    assert spool.counters[Count.BODIES_DROPPED] == 3
    assert spool.counters[Count.BODY_BYTES_DROPPED] == QUEUE_BYTES + 1 + 11 + 4


def test_a_dropped_end_leaves_a_tombstone(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, spool_settings())
    spool.append(an_opened(1))
    assert not spool.append(a_closed(1, response_body=b"x" * (QUEUE_BYTES + 1)))
    spool.close()
    assert payloads(tmp_path) == [an_opened(1), TOMBSTONE + an_id(1)]


@pytest.fixture
def _threads_are_busy() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    is_over = threading.Event()

    def compute() -> None:
        while not is_over.is_set():
            pass

    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield
    is_over.set()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_threads_are_busy")
def test_the_end_of_a_sync_in_a_thread_is_seen_at_once(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, spool_settings(segment_bytes=1_000_000))
    record = a_whole(1, response_body=b"x" * 600_000)
    for _ in range(20):
        assert [spool.append(record) for _ in range(3)] == [True] * 3
        assert spool.wait_until_synced(3)
        for segment in list_segments(tmp_path)[:-3]:
            segment.file.unlink()
    spool.close()


class _SyncWaits(FailingFileSystem):
    """Does not come back from a sync until it may, once `may_end` is cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = threading.Event()
        self.may_end.set()

    def fdatasync(self, descriptor: int) -> None:
        assert self.may_end.wait(20)
        super().fdatasync(descriptor)


@pytest.mark.parametrize("segment_bytes", [1 << 20, 400])
def test_what_comes_while_the_disk_syncs_is_written_all_the_same(tmp_path: Path, segment_bytes: int) -> None:
    """And so survives a `kill -9`, however slow the disk is."""
    disk = _SyncWaits()
    spool = Spool.open(tmp_path, spool_settings(segment_bytes=segment_bytes), disk)
    disk.may_end.clear()
    try:
        for number in range(3):
            assert spool.append(a_whole(number))
            wait_until(lambda number=number: len(payloads(tmp_path)) == number + 1)
        assert not spool.wait_until_synced(0.05)
    finally:
        disk.may_end.set()
    assert spool.wait_until_synced(5)
    spool.close()
    assert payloads(tmp_path) == [a_whole(number) for number in range(3)]


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_disk_that_works_again_is_trusted_while_records_keep_coming(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heli.proxy.spool.writer._RETRY_S", 0.1)
    disk = FailingFileSystem()
    spool = Spool.open(tmp_path, spool_settings(), disk)
    disk.fails = lambda asked, _nth: asked == call
    assert spool.append(a_whole(0))
    wait_until(lambda: spool.is_nearly_full)
    disk.fails = lambda _asked, _nth: False
    number = 0

    def comes_and_is_trusted() -> bool:
        nonlocal number
        number += 1
        assert spool.append(a_whole(number))
        return not spool.is_nearly_full

    wait_until(comes_and_is_trusted, 5)
    spool.close()
    assert payloads(tmp_path) == [a_whole(each) for each in range(number + 1)]


def test_of_segments_that_wait_for_the_disk_there_are_not_many(tmp_path: Path) -> None:
    disk = _SyncWaits()
    spool = Spool.open(tmp_path, spool_settings(segment_bytes=400), disk)
    disk.may_end.clear()
    try:
        for number in range(20):
            assert spool.append(a_whole(number))
        wait_until(lambda: len(list_segments(tmp_path)) == 5)
        assert len(payloads(tmp_path)) < 20
        assert not spool.wait_until_synced(0.1)
        assert len(list_segments(tmp_path)) == 5
    finally:
        disk.may_end.set()
    assert spool.wait_until_synced(5)
    spool.close()
    assert payloads(tmp_path) == [a_whole(number) for number in range(20)]


def test_segments_begun_during_a_sync_have_their_names_synced_by_the_next(tmp_path: Path) -> None:
    disk = ForgetfulFileSystem()
    writer = GroupWriter(tmp_path, 400, disk)
    writer.add([a_whole(1), a_whole(2)])
    writer.write()
    sync = writer.begin_sync()
    assert sync is not None
    sync.run()
    writer.add([a_whole(3), a_whole(4)])
    writer.write()
    assert len(list_segments(tmp_path)) == 4
    writer.end_sync(sync)
    assert writer.records_synced == 2

    writer.flush()
    writer.close()
    disk.cut_power(lambda _size: 0, are_unlinks_kept=True)

    assert payloads(tmp_path) == [a_whole(number) for number in (1, 2, 3, 4)]


class _IsLookedAt(FailingFileSystem):
    """Cannot sync a folder, and meanwhile somebody looks into it."""

    def __init__(self, look: Callable[[], object]) -> None:
        super().__init__()
        self.look = look

    def sync_folder(self, folder: Path) -> None:
        self.look()
        raise OSError(errno.EIO, "injected into sync_folder")


def test_a_segment_that_came_to_nothing_is_no_other_to_who_looked_into_it(tmp_path: Path) -> None:
    lock = take_lock(tmp_path)
    backlog = Backlog(tmp_path)
    looked_at = GroupWriter(tmp_path, 400, _IsLookedAt(backlog.gather))
    with pytest.raises(OSError, match="injected"):
        looked_at.prepare()
    assert list_segments(tmp_path) == []
    assert backlog.gather() is None

    looked_at._disk = REAL
    looked_at.add([a_whole(1), a_whole(2)])
    looked_at.flush()
    looked_at.close()
    os.close(lock)

    batch = backlog.gather()
    assert batch is not None
    assert [each.id for each in batch.exchanges] == [an_id(1), an_id(2)]
    backlog.close()


class _WriteWaits(_SyncWaits):
    """Nor from a write, until that may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = threading.Event()
        self.may_write.set()
        self.is_asked = threading.Event()

    def write(self, descriptor: int, pieces: Sequence[bytes]) -> int:
        self.is_asked.set()
        assert self.may_write.wait(20)
        return super().write(descriptor, pieces)


def test_close_writes_what_came_last_though_the_disk_does_not_sync(tmp_path: Path) -> None:
    disk = _WriteWaits()
    spool = Spool.open(tmp_path, spool_settings(), disk)
    disk.is_asked.clear()
    disk.may_write.clear()
    disk.may_end.clear()
    assert spool.append(a_whole(1))
    assert disk.is_asked.wait(20)
    assert spool.append(a_whole(2))
    closing = threading.Thread(target=spool.close)
    closing.start()
    try:
        wait_until(lambda: not spool.append(a_whole(3)))
        disk.may_write.set()
        wait_until(lambda: len(payloads(tmp_path)) >= 2)
    finally:
        disk.may_write.set()
        disk.may_end.set()
        closing.join()
    assert payloads(tmp_path)[:2] == [a_whole(1), a_whole(2)]


def test_without_a_thread_for_it_a_sync_is_done_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "heli-spool-sync":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    spool = Spool.open(tmp_path, spool_settings())
    records = [a_whole(number, response_body=b"x" * 600_000) for number in range(3)]
    assert [spool.append(record) for record in records] == [True] * 3
    assert spool.wait_until_synced(5)
    assert spool.counters[Count.WRITE_ERRORS] == 0
    spool.close()
    assert payloads(tmp_path) == records


def test_a_folder_that_cannot_be_measured_does_not_end_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool.open(tmp_path, spool_settings(max_bytes=40_000))
    record = a_whole(1, response_body=b"x" * 1000)

    def fail(_room: FolderRoom) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "heli.spool"):
        patched.setattr(FolderRoom, "measure", fail)
        while not spool.is_nearly_full:
            assert spool.append(record)
            assert spool.wait_until_synced(5)
        wait_until(lambda: "cannot measure" in caplog.text)
    assert spool.append(record)
    assert spool.wait_until_synced(5)
    spool.close()
    assert spool.counters[Count.RECORDS_DROPPED] == 0


def test_what_nobody_expected_is_told_and_does_not_end_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("heli.proxy.spool.writer._RETRY_S", 0.01)
    spool = Spool.open(tmp_path, spool_settings())

    def fail(_writer: GroupWriter) -> None:
        raise ZeroDivisionError("nobody expected this")

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "heli.spool"):
        patched.setattr(GroupWriter, "write", fail)
        patched.setattr(GroupWriter, "begin_sync", fail)
        assert spool.append(a_whole(1))
        wait_until(lambda: spool.counters[Count.WRITE_ERRORS] >= 2)
    assert "nobody expected this" in caplog.text
    assert spool.wait_until_synced(5)
    spool.close()
    assert payloads(tmp_path) == [a_whole(1)]


def test_what_the_disk_lost_is_counted_and_is_not_called_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heli.proxy.spool.group_writer.HELD_BYTES", 3000)
    monkeypatch.setattr("heli.proxy.spool.writer._RETRY_S", 0.01)
    disk = FailingFileSystem()
    spool = Spool.open(tmp_path, spool_settings(sync_interval_ms=200), disk)
    failing = disk.calls["fdatasync"]
    disk.fails = lambda call, nth: call == "fdatasync" and nth == failing
    for number in range(5):
        assert spool.append(a_whole(number, response_body=b"x" * 1000))

    assert not spool.wait_until_synced(5)

    lost = spool.counters[Count.RECORDS_DROPPED]
    assert 1 <= lost <= 3
    assert spool.append(a_whole(9))
    assert spool.wait_until_synced(5)
    assert spool.counters[Count.RECORDS_DROPPED] == lost
    assert spool.counters[Count.RECORDS_WRITTEN] == 6 - lost
    spool.close()


class _CloseFails(FailingFileSystem):
    """Frees the descriptor and raises all the same, as Linux does."""

    closed: list[int]

    def close(self, descriptor: int) -> None:
        self.closed.append(descriptor)
        super().close(descriptor)
        self._maybe_fail("close")


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_descriptor_is_closed_once_also_when_that_fails(tmp_path: Path, is_sealed: bool) -> None:
    disk = _CloseFails(lambda call, nth: call == "close" and nth == 0)
    disk.closed = []
    writer = GroupWriter(tmp_path, 1000, disk)
    records = [a_whole(number, response_body=b"x" * 700) for number in range(3)]
    writer.add(records[:1])
    writer.flush()
    writer.add(records[1:])
    with pytest.raises(OSError, match="injected into close"):
        (writer.write if is_sealed else writer.close)()
    held = os.open(tmp_path, os.O_RDONLY)
    assert held in disk.closed, "the system gives the number to the next"

    writer.flush()
    writer.close()

    os.fstat(held)
    os.close(held)
    assert payloads(tmp_path) == records


def test_counters_go_on_through_all_lives_of_the_writer(tmp_path: Path) -> None:
    for _ in range(2):
        spool = Spool.open(tmp_path, spool_settings())
        spool.append(a_whole())
        spool.count_dropped_body(123)
        spool.close()
    counts = read_counters(tmp_path)
    assert counts[Count.RECORDS_WRITTEN] == 2
    assert (counts[Count.BODIES_DROPPED], counts[Count.BODY_BYTES_DROPPED]) == (2, 246)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_neither_writes_nor_holds_the_lock(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, spool_settings())
    assert spool.append(a_whole(1))
    assert spool.wait_until_synced(5)
    told, tell = os.pipe()
    stay, leave = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(leave)
        os.write(tell, b"y" if spool.append(a_whole()) else b"n")
        os.read(stay, 1)
        os._exit(0)
    os.close(stay)
    try:
        assert os.read(told, 1) == b"n"
        spool.close()
        Spool.open(tmp_path, spool_settings()).close()
        assert payloads(tmp_path) == [a_whole(1)]
    finally:
        os.close(leave)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)

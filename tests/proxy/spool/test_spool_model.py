"""Random programs against the spool and a model of it; a power cut forgets what was not synced."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from forgetful import ForgetfulFileSystem
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from spool_helpers import a_closed, a_grown, a_whole, an_opened

from heli.proxy.spool.backlog import Backlog
from heli.proxy.spool.batches import Batch
from heli.proxy.spool.group_writer import GroupWriter, Sync
from heli.proxy.spool.lock import take_lock
from heli.proxy.spool.segments import list_segments
from heli.schema.exchange import Exchange, Outcome, decode_exchanges, encode_exchanges

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
PROGRAMS = 5000 if os.environ.get("HELI_REL_FULL") == "1" else 500
CALLS = st.sampled_from(["open", "write", "fdatasync", "truncate", "unlink", "replace", "sync_folder"])


@pytest.fixture(autouse=True)
def _segments_are_compacted_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heli.proxy.spool.compaction._WORTH_BYTES", 0)
    monkeypatch.setattr("heli.proxy.spool.backlog._HELD_SEGMENTS", 0)


class SpoolMachine(RuleBasedStateMachine):
    """A writer and a shipper on one folder, and what must be true of them."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="heli-model-", dir=_memory_folder()))
        self.folder = self.root / "gateway-0"
        self.folder.mkdir()
        self.disk = ForgetfulFileSystem()
        self.number = 0
        self.unsynced: list[tuple[int, str, int]] = []
        """`(number, what of it, length of the body so far)` of each record that was added and not synced."""
        self.under_way: Sync | None = None
        self.open_now: dict[int, bytes] = {}
        """The calls in flight of this writer with the body so far."""
        self.expected: dict[int, bytes] = {}
        """The bodies of the calls whose end is on disk."""
        self.begun: dict[int, bytes] = {}
        """The calls whose beginning is on disk, with what is on disk of the body."""
        self.bodies: dict[int, bytes] = {}
        """What each call's body is, or would have become."""
        self.received: dict[int, list[Exchange]] = {}
        self.batch: Batch | None = None
        self.lock = -1
        self.backlog: Backlog | None = None
        self.start_writer()
        self.start_shipper()

    def start_writer(self) -> None:
        self.lock = take_lock(self.folder)
        self.writer = GroupWriter(self.folder, 1500, self.disk)
        self.open_now = {}
        self.unsynced = []
        self.under_way = None

    def end_writer(self) -> None:
        self.writer.close()
        os.close(self.lock)

    def start_shipper(self) -> None:
        if self.backlog is not None:
            self.backlog.close()
        self.backlog = None
        self.batch = None
        try:
            self.backlog = Backlog(self.folder, self.disk)
        except OSError:
            self.start_shipper()

    @rule(size=st.integers(0, 900))
    def a_short_call(self, size: int) -> None:
        self.number += 1
        self.bodies[self.number] = os.urandom(size)
        self.add(self.number, "whole", a_whole(self.number, response_body=self.bodies[self.number]))

    @rule()
    def a_call_opens(self) -> None:
        self.number += 1
        self.bodies[self.number] = self.open_now[self.number] = b""
        self.add(self.number, "opened", an_opened(self.number))

    @precondition(lambda self: self.open_now)
    @rule(data=st.data(), sizes=st.lists(st.integers(1, 700), min_size=1, max_size=4))
    def a_call_grows(self, data: st.DataObject, sizes: list[int]) -> None:
        number = data.draw(st.sampled_from(sorted(self.open_now)))
        for size in sizes:
            piece = os.urandom(size)
            self.open_now[number] += piece
            self.bodies[number] += piece
            self.add(number, "grown", a_grown(number, piece))

    @precondition(lambda self: self.open_now)
    @rule(data=st.data())
    def a_call_closes(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.open_now)))
        body = self.open_now.pop(number)
        request_bytes = len(b"question %d" % number)
        self.add(
            number,
            "closed",
            a_closed(number, request_body_bytes=request_bytes, response_body_bytes=len(body)),
        )

    def add(self, number: int, what: str, record: bytes) -> None:
        self.writer.add([record])
        self.unsynced.append((number, what, len(self.bodies[number])))

    @precondition(lambda self: self.under_way is None)
    @rule(is_run=st.booleans())
    def a_sync_begins(self, is_run: bool) -> None:
        """It may be over for the disk before the writer hears of it."""
        self.write_on([])
        self.under_way = self.writer.begin_sync()
        if self.under_way is not None and is_run:
            self.under_way.run()

    @precondition(lambda self: self.under_way is not None)
    @rule(sizes=st.lists(st.integers(0, 900), min_size=1, max_size=4))
    def write_on(self, sizes: list[int]) -> None:
        """Calls that come while the disk syncs, which may fill segments."""
        for size in sizes:
            self.a_short_call(size)
        with contextlib.suppress(OSError):
            self.writer.write()

    @precondition(lambda self: self.under_way is not None)
    @rule()
    def a_sync_ends(self) -> None:
        sync, self.under_way = self.under_way, None
        assert sync is not None
        if not sync.is_done:
            sync.run()
        before = self.writer.records_synced
        with contextlib.suppress(OSError):
            self.writer.end_sync(sync)
        self.take_as_synced(self.writer.records_synced - before)

    @rule(failing=st.lists(st.tuples(CALLS, st.integers(0, 2000)), max_size=2))
    def sync(self, failing: list[tuple[str, int]]) -> None:
        """Until it works, which it does at last."""
        if self.under_way is not None:
            self.a_sync_ends()
        for call, torn_bytes in failing:
            self.disk.fails_next, self.disk.torn_bytes = call, torn_bytes
            try:
                self.writer.flush()
            except OSError:
                continue
            break
        else:
            self.disk.fails_next = None
            self.writer.flush()
        self.take_as_synced(len(self.unsynced))

    def take_as_synced(self, count: int) -> None:
        done, self.unsynced = self.unsynced[:count], self.unsynced[count:]
        for number, what, length in done:
            if what in {"whole", "closed"}:
                self.expected[number] = self.bodies[number]
            else:
                self.begun[number] = self.bodies[number][:length]

    @rule(call=CALLS, torn_bytes=st.integers(0, 2000))
    def a_call_of_the_disk_will_fail(self, call: str, torn_bytes: int) -> None:
        """For the shipper, too, if it comes first."""
        self.disk.fails_next, self.disk.torn_bytes = call, torn_bytes

    @rule(is_all_shipped=st.booleans())
    def the_writer_is_killed(self, is_all_shipped: bool) -> None:
        self.end_writer()
        if is_all_shipped:
            self.ship_all()
        self.start_writer()

    @rule(share=st.floats(0, 1), are_unlinks_kept=st.booleans())
    def the_power_is_cut(self, share: float, are_unlinks_kept: bool) -> None:
        self.end_writer()
        assert self.backlog is not None
        self.backlog.close()
        self.disk.cut_power(lambda size: int(size * share), are_unlinks_kept=are_unlinks_kept)
        self.start_writer()
        self.start_shipper()

    @rule()
    def the_shipper_starts_again(self) -> None:
        self.start_shipper()

    @precondition(lambda self: self.batch is None)
    @rule()
    def gather(self) -> None:
        assert self.backlog is not None
        try:
            self.batch = self.backlog.gather()
            if self.batch is not None:
                self.backlog.plan(self.batch)
        except OSError:
            self.start_shipper()

    @precondition(lambda self: self.batch is not None)
    @rule(is_acknowledged=st.booleans())
    def send(self, is_acknowledged: bool) -> None:
        assert self.batch is not None
        assert self.backlog is not None
        self.receive(self.batch)
        if is_acknowledged:
            try:
                self.backlog.acknowledge(self.batch)
            except OSError:
                self.start_shipper()
            self.batch = None

    def ship_all(self) -> None:
        """As a shipper does that finds nobody writing."""
        self.disk.fails_next = None
        self.start_shipper()
        assert self.backlog is not None
        while (batch := self.backlog.gather()) is not None:
            self.backlog.plan(batch)
            self.receive(batch)
            self.backlog.acknowledge(batch)
        assert list_segments(self.folder) == []

    def receive(self, batch: Batch) -> None:
        for exchange in decode_exchanges(encode_exchanges([each.encoded for each in batch.exchanges])):
            self.received.setdefault(int.from_bytes(exchange.id), []).append(exchange)

    def teardown(self) -> None:
        try:
            self.check_all_arrives()
        finally:
            assert self.backlog is not None
            self.backlog.close()
            shutil.rmtree(self.root)

    def check_all_arrives(self) -> None:
        self.end_writer()
        self.ship_all()
        for number, body in self.expected.items():
            first = self.received[number][0]
            assert (first.outcome, first.response_body) == (Outcome.COMPLETE, body), number
            assert not first.bodies_dropped
        for number, body in self.begun.items():
            first = self.received[number][0]
            assert first.response_body.startswith(body)
            assert self.bodies[number].startswith(first.response_body)
        assert set(self.received) <= set(self.bodies)


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


TestSpoolModel = SpoolMachine.TestCase
TestSpoolModel.settings = settings(
    max_examples=PROGRAMS,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

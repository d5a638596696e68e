"""The spool as the gateway sees it: `append` takes a record in a microsecond, a thread brings it to the disk.

The gateway calls `append` from its event loop: once for a call that has ended, and for calls in flight from
a timer of its own, every `sync_interval_ms`. Nothing here waits for the disk on the caller's thread.
"""

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

from heli.proxy.spool.background_sync import BackgroundSync
from heli.proxy.spool.counters import COUNTERS_NAME, Count, Counters
from heli.proxy.spool.crash_points import reach
from heli.proxy.spool.file_system import REAL, FileSystem
from heli.proxy.spool.folder_room import FolderRoom
from heli.proxy.spool.frames import FRAME_OVERHEAD, MAX_PAYLOAD_BYTES
from heli.proxy.spool.group_writer import GroupWriter
from heli.proxy.spool.holes import Holes
from heli.proxy.spool.ledger import make_ledger
from heli.proxy.spool.lock import take_lock
from heli.proxy.spool.seldom import Seldom
from heli.schema.paths import make_private
from heli.schema.settings import SpoolSettings

QUEUE_BYTES = 16 * 1024 * 1024
"""How much may wait in memory until the system takes it, which is at once unless the disk is in trouble."""
HURRY_BYTES = 1 * 1024 * 1024
"""A queue this long is written at once."""
_RETRY_S = 1.0
_SEGMENTS_AT_LEAST = 8

log = logging.getLogger("heli.spool")


class Spool:
    """The spool of one gateway worker; made by `open`, ended by `close`.

    All methods but `close` and `wait_until_synced` return at once. `append` is for one thread at a time.
    """

    def __init__(self, folder: Path, settings: SpoolSettings, file_system: FileSystem = REAL) -> None:
        self.folder = folder
        self.counters = Counters()
        self.is_nearly_full = False
        """Whether to send heads only: nine tenths of the room are used, or the disk takes nothing."""
        self._room = FolderRoom(folder, settings.max_bytes)
        self._interval_s = settings.sync_interval_ms / 1000
        self._segment_bytes = min(settings.segment_bytes, max(settings.max_bytes // _SEGMENTS_AT_LEAST, 1))
        self._disk = file_system
        self._holes = Holes()
        self._queue: deque[bytes] = deque()
        self._taken_in = 0
        """Bytes of all records ever queued, with their headers; written by the caller's thread only."""
        self._limit = min(QUEUE_BYTES, settings.max_bytes)
        """`_taken_in` may grow up to it; written by the thread only."""
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._is_woken = False
        self._is_closing = False
        self._closing = threading.Event()
        self._patience_until = 0.0
        self._synced = threading.Condition()
        self._settled = 0
        """Bytes of all records that are on disk, or lost by it."""
        self._lost = 0
        """Records that the disk lost."""
        self._lost_when_asked = 0
        self._written = 0
        """Bytes of all records that the system has taken."""
        self._sync = BackgroundSync(self._sync_ended)
        self._writer: GroupWriter | None = None
        self._lock_descriptor = -1
        self._has_counters_file = False
        self._records_counted = 0
        self._bytes_counted = 0
        self._error: Exception | None = None
        self._trouble = Seldom(log)
        self._thread = threading.Thread(target=self._run, name="heli-spool", daemon=True)

    @classmethod
    def open(cls, folder: Path, settings: SpoolSettings, file_system: FileSystem = REAL) -> Self:
        """Take over a worker's folder, which is made if need be, and start the thread.

        Raises `ConflictError` when another process writes to it. A disk that is full or broken is no
        reason to stop: records wait in memory, then are dropped and counted, until it works again.
        """
        spool = cls(folder, settings, file_system)
        try:
            spool._prepare()
        except OSError as error:
            spool._disk_failed(error)
        spool._settle()
        _OPEN_SPOOLS.add(spool)
        spool._thread.start()
        return spool

    def append(self, record: bytes, *, body_bytes: int = 0) -> bool:
        """Take a record to the disk with the next group; `False` when it was dropped, which is counted.

        `body_bytes` says how much of it is bodies. When a piece of a call was dropped, its later pieces are
        too, and its end is told without bodies, so that what is kept of a body never has a hole. A call whose
        beginning was dropped was not told at all: tell it again, or as a whole.
        """
        if self._holes:
            mended = self._holes.mend(record)
            if not mended:
                return self._drop(mended, body_bytes)
            if mended is not record and body_bytes:
                self.count_dropped_body(body_bytes)
                body_bytes = 0
            record = mended
        size = len(record) + FRAME_OVERHEAD
        taken_in = self._taken_in + size
        if taken_in > self._limit or size > MAX_PAYLOAD_BYTES or self._is_closing:
            return self._drop(record, body_bytes)
        self._taken_in = taken_in
        self._queue.append(record)
        if not self._is_woken:
            self._is_woken = True
            self._wake.set()
        elif taken_in - self._written > HURRY_BYTES and not self._hurry.is_set():
            self._hurry.set()
        return True

    def count_dropped_body(self, body_bytes: int, bodies: int = 1) -> None:
        """The caller left out bodies because the spool is nearly full."""
        self.counters.add(Count.BODIES_DROPPED, bodies)
        self.counters.add(Count.BODY_BYTES_DROPPED, body_bytes)

    def wait_until_synced(self, timeout_s: float) -> bool:
        """Wait until all that was appended before is on disk. Blocks.

        `False` if it is not in time, or if the disk lost some of it since the last answer.
        """
        target = self._taken_in
        with self._synced:
            is_settled = self._synced.wait_for(lambda: self._settled >= target, timeout_s)
            is_lost = self._lost > self._lost_when_asked
            self._lost_when_asked = self._lost
            return is_settled and not is_lost

    def close(self, timeout_s: float = 5.0) -> None:
        """Bring what waits to the disk and end the thread. Blocks.

        What cannot be written in this time is dropped and counted; only a stuck disk makes it longer.
        """
        if self._is_closing:
            return
        self._patience_until = time.monotonic() + timeout_s
        self._is_closing = True
        self._wake.set()
        self._closing.set()
        self._hurry.set()
        self._thread.join(timeout_s + 5)
        _OPEN_SPOOLS.discard(self)

    def _drop(self, record: bytes, body_bytes: int) -> bool:
        self.counters.add(Count.RECORDS_DROPPED)
        if body_bytes:
            self.count_dropped_body(body_bytes)
        if tombstone := self._holes.note(record):
            self._taken_in += len(tombstone) + FRAME_OVERHEAD
            self._queue.append(tombstone)
            self._is_woken = True
            self._wake.set()
        return False

    # From here on: the thread.

    def _run(self) -> None:
        group_at = 0.0
        while not self._is_closing:
            self._wake.wait(None if self._is_calm else _RETRY_S)
            self._wake.clear()
            self._hurry.wait(max(0.0, min(self._interval_s, group_at + self._interval_s - time.monotonic())))
            group_at = time.monotonic()
            self._is_woken = False
            self._hurry.clear()
            self._attempt(self._flush)
            if self._error is not None:
                self._closing.wait(_RETRY_S)
        self._finish()

    @property
    def _is_calm(self) -> bool:
        return self._error is None and not self.is_nearly_full

    def _attempt(self, flush: Callable[[], None]) -> None:
        """Flush and settle. Whatever goes wrong is counted and told: recording must not end in silence."""
        try:
            flush()
        except Exception as error:  # noqa: BLE001
            self._disk_failed(error)
        else:
            if self._does_sync:
                self._error = None
        self._settle()

    @property
    def _does_sync(self) -> bool:
        """As far as we know: a disk that takes writes may still refuse to sync them."""
        has_synced = self._writer is not None and self._writer.bytes_synced > self._bytes_counted
        return has_synced or not self._sync.is_under_way

    def _flush(self) -> None:
        """Hand what waits to the system, and have it synced while more is written."""
        self._collect_sync(wait=False)
        writer = self._prepare()
        writer.add(self._take_queue())
        reach("spool.group_taken")
        try:
            writer.write()
        finally:
            self._sync.start(writer)

    def _collect_sync(self, *, wait: bool) -> None:
        if self._writer is not None:
            self._sync.collect(self._writer, wait=wait)

    def _sync_ended(self, is_urgent: bool) -> None:
        if is_urgent:
            self._hurry.set()
        self._wake.set()

    def _flush_all(self) -> None:
        """As `_flush`, but come back only when everything is on disk or the disk is in trouble."""
        self._collect_sync(wait=True)
        writer = self._prepare()
        writer.add(self._take_queue())
        writer.flush()

    def _take_queue(self) -> list[bytes]:
        queue = self._queue
        return [queue.popleft() for _ in range(len(queue))]

    def _prepare(self) -> GroupWriter:
        """Have the folder, its lock, the counters and a segment: at the start, and again until it works."""
        if self._writer is None:
            make_private(self.folder)
            if self._lock_descriptor < 0:
                self._lock_descriptor = take_lock(self.folder)
            reach("spool.lock_taken")
            self._room.measure()
            self._writer = GroupWriter(self.folder, self._segment_bytes, self._disk)
        if not self._has_counters_file:
            self.counters.attach(self.folder / COUNTERS_NAME)
            make_ledger(self.folder)
            self._has_counters_file = True
        self._writer.prepare()
        return self._writer

    def _settle(self) -> None:
        """Tell the caller's thread how much room there is, and those who wait that a group is done."""
        if self._writer is not None:
            self._count_synced(self._writer)
        try:
            self._room.measure_when_close()
        except OSError as error:  # What was written since the last look is known all the same.
            self._trouble.warn("the spool cannot measure %s: %s", self.folder, error)
        waiting = self._taken_in - self._written
        self._limit = min(self._written + QUEUE_BYTES, self._settled + self._room.left)
        self.is_nearly_full = (
            self._error is not None or self._room.is_scarce or waiting > QUEUE_BYTES * 9 // 10
        )
        with self._synced:
            self._synced.notify_all()

    def _count_synced(self, writer: GroupWriter) -> None:
        self._written = writer.bytes_written
        size = writer.bytes_synced - self._bytes_counted
        if size:
            self.counters.add(Count.RECORDS_WRITTEN, writer.records_synced - self._records_counted)
            self.counters.add(Count.BYTES_WRITTEN, size)
            self.counters.add(Count.SYNCS)
            self._records_counted = writer.records_synced
            self._bytes_counted = writer.bytes_synced
        if writer.records_lost > self._lost:
            self.counters.add(Count.RECORDS_DROPPED, writer.records_lost - self._lost)
            self._lost = writer.records_lost
        settled = writer.bytes_synced + writer.bytes_lost
        self._room.grow(settled - self._settled)
        self._settled = settled

    def _disk_failed(self, error: Exception) -> None:
        self._error = error
        self.counters.add(Count.WRITE_ERRORS)
        dropped = self.counters[Count.RECORDS_DROPPED]
        text = "the spool cannot write to %s: %s; calls go on, %d records were dropped so far"
        self._trouble.warn(text, self.folder, error, dropped)

    def _finish(self) -> None:
        """The last groups, then the end. Runs once, when nothing can be appended any more."""
        self._attempt(self._flush)  # What is written survives, also when the disk never syncs again.
        self._attempt(self._flush_all)
        while self._error is not None and time.monotonic() < self._patience_until:
            time.sleep(min(0.1, self._interval_s))
            self._attempt(self._flush_all)
        if self._error is not None:
            waiting = len(self._queue) + (self._writer.pending_records if self._writer else 0)
            self.counters.add(Count.RECORDS_DROPPED, waiting)
            log.warning("%d records were lost, as %s cannot be written", waiting, self.folder)
        self._release()

    def _release(self) -> None:
        self._sync.close()
        try:
            if self._writer is not None:
                self._writer.close()
        except OSError as error:
            self._disk_failed(error)
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1

    def _forget_in_child(self) -> None:
        """After a fork: the thread stayed behind, and the lock is the parent's alone."""
        self._is_closing = True
        self.counters = Counters()
        self._release()


_OPEN_SPOOLS: weakref.WeakSet[Spool] = weakref.WeakSet()


def _forget_all_in_child() -> None:
    for spool in list(_OPEN_SPOOLS):
        spool._forget_in_child()
    _OPEN_SPOOLS.clear()


os.register_at_fork(after_in_child=_forget_all_in_child)

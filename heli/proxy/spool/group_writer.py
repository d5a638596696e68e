"""Writes groups of records to the segments of one folder, so that none is lost, whatever the disk does."""

import errno
import itertools
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from heli.proxy.spool.crash_points import is_armed, reach
from heli.proxy.spool.file_system import FileSystem
from heli.proxy.spool.frames import FRAME_OVERHEAD, FrameHeaders
from heli.proxy.spool.ledger import read_ledger
from heli.proxy.spool.segments import HEADER_BYTES, Segment, list_segments, make_segment, new_incarnation

_FRAMES_PER_WRITE = 500
"""Two pieces each, and the system takes 1024."""
_BYTES_PER_WRITE = 8 * 1024 * 1024
_BYTES_PER_SYNC = 8 * 1024 * 1024
_SEALED_AT_MOST = 4
"""So many full segments may wait for their sync; then the next one waits for its own."""
HELD_BYTES = 4 * 1024 * 1024
"""How much of what is written stays in memory, to be written again if its sync fails."""


class Sync:
    """A sync under way, which may run in a thread of its own while the writer goes on writing."""

    def __init__(
        self,
        disk: FileSystem,
        folder: Path,
        descriptors: list[int],
        records: int,
        sealed: int,
        unnamed: int,
        life: int,
    ) -> None:
        self.records = records
        """How many records, counted from the oldest that is not synced, it brings to the disk."""
        self.sealed = sealed
        """How many of the first descriptors nobody writes to any more."""
        self.unnamed = unnamed
        """How many names of segments it brings to the disk."""
        self.life = life
        self.error: Exception | None = None
        self._done = threading.Event()
        self._disk = disk
        self._folder = folder
        self._descriptors = descriptors

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def wait(self) -> None:
        """Until another thread has run it."""
        self._done.wait()

    def run(self) -> None:
        """Wait for the disk. Does not raise: the writer is told by `error`."""
        try:
            for descriptor in self._descriptors:
                self._disk.fdatasync(descriptor)
            if self.unnamed:
                self._disk.sync_folder(self._folder)
        except Exception as error:  # noqa: BLE001 - what is not known to be on disk is not
            self.error = error
        else:
            reach("spool.group_synced")
        finally:
            self._done.set()


class GroupWriter:
    """One life of a writer. Used by one thread; whoever makes one holds the lock of the folder.

    `flush` either brings all that was added to the disk, or raises and keeps what is not safely there for
    the next `flush`. A record that may have been written twice carries the same sequence both times.

    `write`, `begin_sync` and `end_sync` are the same in steps. What is written waits in memory for its sync
    only up to `HELD_BYTES`: the rest is let go, and lost if that sync fails, which readers see by its
    sequence.
    """

    def __init__(self, folder: Path, segment_bytes: int, disk: FileSystem) -> None:
        self.incarnation = new_incarnation()
        self.records_synced = 0
        self.bytes_synced = 0
        """With the headers of the frames; so the following."""
        self.bytes_written = 0
        self.bytes_lost = 0
        self.records_lost = 0
        """Let go before their sync failed."""
        self.held_bytes = 0
        """What is written, not synced, and still in memory."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._disk = disk
        self._unwritten: deque[tuple[int, bytes]] = deque()
        self._unsynced: deque[tuple[int, bytes | None, int]] = deque()
        """`(sequence, record unless it was let go, bytes)` of what is written."""
        self._next_sequence = 1
        self._segment: Segment | None = None
        self._descriptor = -1
        self._sealed: list[int] = []
        """Descriptors of full segments that wait for their sync."""
        self._unnamed = 0
        """Segments that were made and whose names wait for their sync."""
        self._life = 0
        """Counts how often the segments at hand were given up."""
        self._size = 0
        self._last_number = 0

    @property
    def pending_records(self) -> int:
        return len(self._unwritten) + len(self._unsynced)

    @property
    def unsynced_bytes(self) -> int:
        return self.bytes_written - self.bytes_synced - self.bytes_lost

    def add(self, records: Iterable[bytes]) -> None:
        for record in records:
            self._unwritten.append((self._next_sequence, record))
            self._next_sequence += 1

    def prepare(self) -> None:
        """Have a segment to write to, which also tells readers that earlier incarnations have ended."""
        if self._segment is None:
            self._make_segment(is_synced=True)

    def _make_segment(self, *, is_synced: bool) -> None:
        """Begin the next one. Its header and name can wait for the sync of what is first written to it."""
        state = read_ledger(self._folder)
        told = [position.segment for position in (state.acknowledged, state.planned) if position is not None]
        numbers = [segment.number for segment in list_segments(self._folder)]
        # Also one that comes to nothing has had its number: a reader may have looked into it already.
        self._last_number = number = max([self._last_number, *told, *numbers]) + 1
        self._segment, self._descriptor = make_segment(
            self._folder, number, self.incarnation, self._disk, is_synced=is_synced
        )
        self._unnamed += not is_synced
        self._size = HEADER_BYTES

    def flush(self) -> None:
        """Bring everything that was added to the disk. Raises `OSError` when the disk does not do it."""
        self.prepare()
        while self.pending_records:
            self.write(_BYTES_PER_SYNC)
            if sync := self.begin_sync():
                sync.run()
                self.end_sync(sync)

    def write(self, most_bytes: int | None = None) -> None:
        """Hand what was added to the system, all of it or about `most_bytes`. Raises `OSError`."""
        self.prepare()
        start = self.bytes_written
        while self._unwritten and (most_bytes is None or self.bytes_written - start < most_bytes):
            if pieces := self._next_pieces():
                self._write(pieces)
            else:
                self._seal()

    def begin_sync(self) -> Sync | None:
        """A sync of what is written; to be run, anywhere, and then given to `end_sync`."""
        if not self._unsynced:
            return None
        descriptors = [*self._sealed, *([self._descriptor] if self._segment is not None else [])]
        records, sealed = len(self._unsynced), len(self._sealed)
        return Sync(self._disk, self._folder, descriptors, records, sealed, self._unnamed, self._life)

    def end_sync(self, sync: Sync) -> None:
        """Take in how a sync went. Raises its error; nobody knows then what is on disk, so that what is
        still in memory goes to another segment, again."""
        if sync.life != self._life:
            return
        if sync.error is not None:
            self._abandon()
            raise sync.error
        for _ in range(sync.records):
            _, record, size = self._unsynced.popleft()
            self.bytes_synced += size
            if record is not None:
                self.held_bytes -= size
        self.records_synced += sync.records
        self._unnamed -= sync.unnamed
        done, self._sealed = self._sealed[: sync.sealed], self._sealed[sync.sealed :]
        self._close_forgotten(done)

    def close(self) -> None:
        descriptors, self._sealed = self._sealed, []
        if self._segment is not None:
            self._segment = None
            descriptors.append(self._descriptor)
        self._close_forgotten(descriptors)

    def _close_forgotten(self, descriptors: list[int]) -> None:
        """Close each once. Also where it raises the descriptor is free, and soon somebody else's."""
        with ExitStack() as stack:
            for descriptor in descriptors:
                stack.callback(self._disk.close, descriptor)

    def _next_pieces(self) -> list[bytes]:
        """Headers and payloads of the next write; none when they belong in the next segment."""
        assert self._segment is not None
        pieces: list[bytes] = []
        headers = FrameHeaders(self._segment.salt)
        total = 0
        room = self._segment_bytes - self._size
        for sequence, record in itertools.islice(self._unwritten, _FRAMES_PER_WRITE):
            size = len(record) + FRAME_OVERHEAD
            is_first_of_segment = self._size == HEADER_BYTES and not pieces
            if (total + size > room and not is_first_of_segment) or (
                pieces and total + size > _BYTES_PER_WRITE
            ):
                break
            pieces += (headers.make(sequence, record), record)
            total += size
        return pieces

    def _write(self, pieces: list[bytes]) -> None:
        """Write whole frames; what a full disk leaves torn is cut off again."""
        if is_armed("spool.group_torn"):
            self._tear(pieces)
        total = sum(map(len, pieces))
        try:
            written = self._disk.write(self._descriptor, pieces)
        except OSError:
            self._cut_to(self._size)
            raise
        frames, whole = len(pieces) // 2, total
        if written < total:
            frames, whole = _whole_frames(pieces, written)
            self._cut_to(self._size + whole)
        self._size += whole
        for _ in range(frames):
            self._has_written(*self._unwritten.popleft())
        reach("spool.group_written")
        if not frames:
            raise OSError(errno.ENOSPC, "the disk took only a part of a record")

    def _tear(self, pieces: list[bytes]) -> None:
        """For a crash point: leave half of a write behind."""
        whole = b"".join(pieces)
        self._disk.write(self._descriptor, [whole[: len(whole) // 2]])
        reach("spool.group_torn")
        self._disk.truncate(self._descriptor, self._size)

    def _cut_to(self, size: int) -> None:
        try:
            self._disk.truncate(self._descriptor, size)
        except OSError:
            self._abandon()
            raise

    def _has_written(self, sequence: int, record: bytes) -> None:
        size = len(record) + FRAME_OVERHEAD
        self.bytes_written += size
        if self.held_bytes + size <= HELD_BYTES:
            self.held_bytes += size
            self._unsynced.append((sequence, record, size))
        else:
            self._unsynced.append((sequence, None, size))

    def _seal(self) -> None:
        """Go on in a new segment; the full one is closed once it is synced."""
        self._segment = None
        if self._unsynced:
            self._sealed.append(self._descriptor)
        else:
            self._close_forgotten([self._descriptor])
        reach("spool.segment_sealed")
        self._make_segment(is_synced=len(self._sealed) >= _SEALED_AT_MOST)

    def _abandon(self) -> None:
        """Give the segments at hand up; what is in memory is written again, elsewhere."""
        self._life += 1
        while self._unsynced:
            sequence, record, size = self._unsynced.pop()
            if record is not None:
                self._unwritten.appendleft((sequence, record))
                self.bytes_written -= size
            else:
                self.bytes_lost += size
                self.records_lost += 1
        self.held_bytes = 0
        self._unnamed = 0
        self.close()


def _whole_frames(pieces: list[bytes], written: int) -> tuple[int, int]:
    """How many frames the first `written` bytes hold whole, and their length."""
    frames = whole = 0
    for header, payload in zip(pieces[::2], pieces[1::2], strict=True):
        size = len(header) + len(payload)
        if whole + size > written:
            break
        frames += 1
        whole += size
    return frames, whole

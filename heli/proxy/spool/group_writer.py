"""Writes groups of records to the segments of one folder, so that none is lost, whatever the disk does."""

import errno
import itertools
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from heli.proxy.spool.crash_points import is_armed, reach
from heli.proxy.spool.file_system import FileSystem
from heli.proxy.spool.frames import FRAME_OVERHEAD, frame_header
from heli.proxy.spool.ledger import read_ledger
from heli.proxy.spool.segments import HEADER_BYTES, Segment, list_segments, make_segment, new_incarnation

_FRAMES_PER_WRITE = 500
"""Two pieces each, and the system takes 1024."""
_BYTES_PER_WRITE = 8 * 1024 * 1024


class GroupWriter:
    """One life of a writer. Used by one thread; whoever makes one holds the lock of the folder.

    `flush` either brings all that was added to the disk, or raises and keeps what is not safely there for
    the next `flush`. A record that may have been written twice carries the same sequence both times.
    """

    def __init__(self, folder: Path, segment_bytes: int, disk: FileSystem) -> None:
        self.incarnation = new_incarnation()
        self.records_synced = 0
        self.bytes_synced = 0
        """With the headers of the frames."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._disk = disk
        self._pending: deque[tuple[int, bytes]] = deque()
        self._next_sequence = 1
        self._written = 0
        """How many of the first pending records are in the segment, but not synced."""
        self._segment: Segment | None = None
        self._descriptor = -1
        self._size = 0
        self._last_number = 0

    @property
    def pending_records(self) -> int:
        return len(self._pending)

    def add(self, records: Iterable[bytes]) -> None:
        for record in records:
            self._pending.append((self._next_sequence, record))
            self._next_sequence += 1

    def prepare(self) -> None:
        """Have a segment to write to, which also tells readers that earlier incarnations have ended."""
        if self._segment is None:
            numbers = [segment.number for segment in list_segments(self._folder)]
            self._last_number = max(
                [self._last_number, read_ledger(self._folder).acknowledged.segment, *numbers]
            )
            number = self._last_number + 1
            self._segment, self._descriptor = make_segment(self._folder, number, self.incarnation, self._disk)
            self._last_number = number
            self._size = HEADER_BYTES

    def flush(self) -> None:
        """Bring everything that was added to the disk. Raises `OSError` when the disk does not do it."""
        self.prepare()
        while self._pending:
            self._write_some()
            self._sync()
            done = [self._pending.popleft()[1] for _ in range(self._written)]
            self._written = 0
            self.records_synced += len(done)
            self.bytes_synced += sum(map(len, done)) + FRAME_OVERHEAD * len(done)

    def close(self) -> None:
        if self._segment is not None:
            self._segment = None
            self._disk.close(self._descriptor)

    def _write_some(self) -> None:
        """Write pending records up to a bound, or to the end of the segment."""
        while self._written < len(self._pending):
            pieces = self._next_pieces()
            if not pieces:
                if self._written:
                    return
                self._seal()
                continue
            self._write(pieces)

    def _next_pieces(self) -> list[bytes]:
        """Headers and payloads of the next write; none when they belong in the next segment."""
        assert self._segment is not None
        pieces: list[bytes] = []
        total = 0
        room = self._segment_bytes - self._size
        for sequence, record in itertools.islice(
            self._pending, self._written, self._written + _FRAMES_PER_WRITE
        ):
            size = len(record) + FRAME_OVERHEAD
            is_first_of_segment = self._size == HEADER_BYTES and not pieces
            if (total + size > room and not is_first_of_segment) or (
                pieces and total + size > _BYTES_PER_WRITE
            ):
                break
            pieces += (frame_header(self._segment.salt, sequence, record), record)
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
        self._written += frames
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

    def _sync(self) -> None:
        """After a failed sync nobody knows what is on disk: the records go to another segment, again."""
        try:
            self._disk.fdatasync(self._descriptor)
        except OSError:
            self._abandon()
            raise
        reach("spool.group_synced")

    def _seal(self) -> None:
        self.close()
        reach("spool.segment_sealed")
        self.prepare()

    def _abandon(self) -> None:
        self._written = 0
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

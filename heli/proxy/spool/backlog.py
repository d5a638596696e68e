"""What one worker's folder still holds for the backend: gathered into batches, deleted when acknowledged."""

import bisect
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from heli.proxy.spool.batches import MAX_BYTES, MAX_EXCHANGES, Batch
from heli.proxy.spool.compaction import compact
from heli.proxy.spool.crash_points import reach
from heli.proxy.spool.file_system import REAL, FileSystem
from heli.proxy.spool.frames import Damage, Frame
from heli.proxy.spool.ledger import SEGMENT_END, Ledger, Position
from heli.proxy.spool.pieces import PieceReader
from heli.proxy.spool.reader import FolderReader, SegmentEnd
from heli.proxy.spool.reassembly import Finished, Reassembler
from heli.proxy.spool.segments import Segment, remove_drafts

_LOOK_FOR_WRITER_S = 0.5
_HELD_SEGMENTS = 2
"""More segments than these are made smaller when only calls in flight need them."""


class Backlog:
    """One folder, as the shipper sees it. After an `OSError` make a new one: the disk knows all that matters.

    One batch is under way at a time: `gather`, `plan`, send, `acknowledge`. Of a batch that was halved,
    both halves are planned and acknowledged, in order.
    """

    def __init__(self, folder: Path, disk: FileSystem = REAL) -> None:
        self.worker = folder.name
        self.ledger = Ledger(folder, disk)
        self._folder = folder
        self._disk = disk
        self._reader = FolderReader(folder)
        self._pieces = PieceReader(self._find)
        is_untouched = self.ledger.state.acknowledged == Position(0, 0)
        self._calls = Reassembler(self._pieces, is_untouched=is_untouched)
        self._planned = self.ledger.state.planned
        """Where the batch must end that was planned in an earlier life."""
        self._finished = self._read()
        self._held: Finished | None = None
        """Read already, but for the next batch."""
        self._gathered = self.ledger.state.acknowledged
        self._ended = 0
        """Segments up to this number are read whole, and so is everything of them told."""
        self._deleted_up_to = 0
        """Segments up to this number were looked at since the ledger advanced."""
        self._lost_bytes = 0
        self._lost_frames = 0
        self._looked_at = 0.0
        self._held_at_look: dict[int, int] = {}
        remove_drafts(folder, disk)

    def gather(self) -> Batch | None:
        """The exchanges that come next, as many as fit; `None` when there are none at the moment."""
        self._refresh()
        exchanges: list[Finished] = []
        size = 0
        while len(exchanges) < MAX_EXCHANGES:
            finished = self._held or next(self._finished, None)
            self._held = None
            if finished is None:
                self._finished = self._read()
                break
            size += len(finished.encoded)
            is_behind_plan = self._planned is not None and finished.position > self._planned
            if exchanges and (size > MAX_BYTES or is_behind_plan):
                self._held = finished
                break
            exchanges.append(finished)
        self._planned = None
        if not exchanges:
            self._clean_up(self.ledger.state.acknowledged, 0)
            return None
        self._gathered = exchanges[-1].position
        return Batch(exchanges)

    def plan(self, batch: Batch) -> None:
        """Before it is sent: a batch that is sent again after a crash has the same end."""
        self.ledger.plan(batch.end)

    def acknowledge(self, batch: Batch) -> None:
        """Every exchange of the batch is in the backend or in the dead letters."""
        self._clean_up(batch.end, len(batch.exchanges))

    def open_sockets(self, now: float, pause_s: float) -> Iterator[msgspec.Raw]:
        """As `Reassembler.open_sockets` tells them."""
        return self._calls.open_sockets(now, pause_s)

    def close(self) -> None:
        self._reader.close()
        self._pieces.close()

    def _refresh(self) -> None:
        now = time.monotonic()
        look = now > self._looked_at + _LOOK_FOR_WRITER_S
        self._reader.refresh(look_for_writer=look)
        if look:
            self._looked_at = now

    def _read(self) -> Iterator[Finished]:
        """Everything that was not acknowledged when it was read, until there is no more at the moment."""
        while (found := self._reader.next()) is not None:
            segment, what = found
            after = self.ledger.state.acknowledged
            if isinstance(what, Frame):
                is_wanted = Position(segment.number, what.end) > after
                finished = self._calls.feed(segment, what, is_wanted=is_wanted)
                if finished is not None:
                    yield finished
            elif isinstance(what, Damage):
                is_counted = Position(segment.number, what.offset + what.lost_bytes) <= after
                self._lost_bytes += 0 if is_counted else what.lost_bytes
            else:
                yield from self._end_segment(segment, what)

    def _end_segment(self, segment: Segment, end: SegmentEnd) -> Iterator[Finished]:
        if end.ends_incarnation:
            yield from self._calls.end_incarnation(segment, self.ledger.state.acknowledged)
        self._ended = segment.number

    def _clean_up(self, acknowledged: Position, exchanges: int) -> None:
        """Advance the ledger; then, and only then, delete what nobody needs."""
        end = Position(self._ended, SEGMENT_END if self._ended else 0)
        is_all_told = acknowledged >= self._gathered
        if is_all_told and (self._held is None or self._held.position > end):
            acknowledged = max(acknowledged, end)
        if acknowledged > self.ledger.state.acknowledged or exchanges:
            lost_frames = max(0, self._calls.lost_frames - self._lost_frames)
            self.ledger.advance(acknowledged, exchanges, lost_frames, self._lost_bytes)
            self._lost_frames += lost_frames
            self._lost_bytes = 0
            self._deleted_up_to = 0
        if self._deleted_up_to < self._ended:
            self._delete_segments()
            self._deleted_up_to = self._ended

    def _delete_segments(self) -> None:
        acknowledged = self.ledger.state.acknowledged
        is_all_acknowledged = self._calls.release(acknowledged)
        held: list[Segment] = []
        for segment in self._reader.segments:
            if segment.number > self._ended or Position(segment.number, SEGMENT_END) > acknowledged:
                break
            if self._calls.held[segment.number]:
                held.append(segment)
                continue
            self._pieces.forget(segment.number)
            self._held_at_look.pop(segment.number, None)
            reach("backlog.before_unlink")
            self._disk.unlink(segment.file)
            reach("backlog.after_unlink")
        self._reader.refresh(look_for_writer=False)
        for segment in held[: len(held) - _HELD_SEGMENTS] if is_all_acknowledged else ():
            self._make_small(segment)

    def _make_small(self, segment: Segment) -> None:
        """Look at it again only when half of what it was kept for is gone."""
        held = self._calls.held[segment.number]
        if held <= self._held_at_look.get(segment.number, held * 2) // 2:
            self._held_at_look[segment.number] = held
            compact(segment, self._calls, self._pieces, self._disk)

    def _find(self, number: int) -> Segment | None:
        segments = self._reader.segments
        place = bisect.bisect_left(segments, number, key=lambda segment: segment.number)
        found = segments[place] if place < len(segments) else None
        return found if found is not None and found.number == number else None

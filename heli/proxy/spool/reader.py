"""Reads the segments of one worker's folder in order, as they grow, and sees when a writer has ended."""

import os
from pathlib import Path
from typing import NamedTuple

from heli.proxy.spool.frames import Damage, Frame, FrameScanner
from heli.proxy.spool.lock import try_lock
from heli.proxy.spool.segments import HEADER_BYTES, Segment, list_segments, open_scanner


class SegmentEnd(NamedTuple):
    """Everything in a segment was read, and nothing more will be written to it."""

    ends_incarnation: bool
    """Nor will its writer write anything more anywhere."""


class FolderReader:
    """A walk through all frames of a folder, from the oldest."""

    def __init__(self, folder: Path) -> None:
        self.segments: list[Segment] = []
        """As of the last `refresh`."""
        self._folder = folder
        self._ended_up_to = 0
        """Segments up to this number were there when no writer lived."""
        self._done_up_to = 0
        self._current: Segment | None = None
        self._descriptor = -1
        self._scanner: FrameScanner | None = None

    def refresh(self, *, look_for_writer: bool) -> None:
        """See which segments there are, and if asked whether their writer lives.

        The lock is held for the listing only: a writer that starts a moment later makes new segments.
        """
        lock = try_lock(self._folder) if look_for_writer else None
        try:
            self.segments = list_segments(self._folder)
            if self._current is not None and self._current not in self.segments:
                self.close()  # Its writer could not finish it, and took it away.
            if lock is not None and self.segments:
                self._ended_up_to = self.segments[-1].number
        finally:
            if lock is not None:
                os.close(lock)

    def next(self) -> tuple[Segment, Frame | Damage | SegmentEnd] | None:
        """What comes next; `None` when there is no more at the moment."""
        if self._scanner is None and not self._open_next():
            return None
        assert self._scanner is not None
        assert self._current is not None
        segment = self._current
        is_sealed = self._is_sealed(segment)
        found = self._scanner.next(is_sealed=is_sealed)
        if found is not None:
            return segment, found
        if not is_sealed:
            return None
        self.close()
        self._done_up_to = segment.number
        return segment, SegmentEnd(self._is_end_of_incarnation(segment))

    def close(self) -> None:
        if self._scanner is not None:
            os.close(self._descriptor)
            self._scanner = self._current = None

    def _open_next(self) -> bool:
        for segment in self.segments:
            if segment.number > self._done_up_to:
                descriptor = os.open(segment.file, os.O_RDONLY)
                if os.fstat(descriptor).st_size < HEADER_BYTES and not self._is_sealed(segment):
                    os.close(descriptor)  # Its writer is about to begin it.
                    return False
                self._descriptor, self._current = descriptor, segment
                self._scanner = open_scanner(segment, self._descriptor)
                return True
        return False

    def _is_sealed(self, segment: Segment) -> bool:
        """Whether nothing more will be written to it."""
        return segment.number < self.segments[-1].number or segment.number <= self._ended_up_to

    def _is_end_of_incarnation(self, segment: Segment) -> bool:
        for later in self.segments:
            if later.number > segment.number:
                return later.incarnation != segment.incarnation
        return True

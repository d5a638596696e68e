"""Reads single frames of a folder again, where they were seen before."""

import os
from collections import OrderedDict
from collections.abc import Callable

from heli.proxy.spool.frames import Frame, read_frame
from heli.proxy.spool.segments import Segment, read_salt

_OPEN_FILES = 8


class PieceReader:
    """Keeps the files open that were used last."""

    def __init__(self, find: Callable[[int], Segment | None]) -> None:
        self._find = find
        """The segment with a number."""
        self._files: OrderedDict[int, tuple[int, bytes]] = OrderedDict()

    def read(self, number: int, offset: int) -> Frame | None:
        """The frame at an offset of the segment with a number; `None` when it is gone or damaged."""
        opened = self._files.get(number) or self._open(number)
        if opened is None:
            return None
        self._files.move_to_end(number)
        return read_frame(*opened, offset)

    def _open(self, number: int) -> tuple[int, bytes] | None:
        segment = self._find(number)
        if segment is None:
            return None
        descriptor = os.open(segment.file, os.O_RDONLY)
        self._files[number] = opened = descriptor, read_salt(descriptor) or segment.salt
        if len(self._files) > _OPEN_FILES:
            self.forget(next(iter(self._files)))
        return opened

    def forget(self, number: int) -> None:
        """The file was deleted or replaced."""
        if opened := self._files.pop(number, None):
            os.close(opened[0])

    def close(self) -> None:
        for number in list(self._files):
            self.forget(number)

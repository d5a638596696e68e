"""How much room is left in a spool's folder, which the writer fills and the shipper empties."""

import os
import time
from contextlib import suppress
from pathlib import Path

from heli.proxy.spool.segments import SUFFIX

_MEASURE_S = 0.25
_CLOSE = 0.8
"""Above this share of the bound the folder is looked at again and again, as the shipper makes room."""


class FolderRoom:
    """Counts what is written; looks at the folder for what is deleted."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._used_bytes = 0
        self._measured_at = 0.0

    @property
    def left(self) -> int:
        return self._max_bytes - self._used_bytes

    @property
    def is_scarce(self) -> bool:
        """Whether nine tenths are used."""
        return self.left < self._max_bytes // 10

    def grow(self, size: int) -> None:
        self._used_bytes += size

    def measure(self) -> None:
        """Look how much the segments use; the shipper deletes them at any time. Raises `OSError`."""
        total = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    with suppress(FileNotFoundError):
                        total += entry.stat().st_size
        self._used_bytes = total

    def measure_when_close(self) -> None:
        """The same, now and then, when there is not much room any more."""
        now = time.monotonic()
        if self._used_bytes > _CLOSE * self._max_bytes and now > self._measured_at + _MEASURE_S:
            self._measured_at = now
            self.measure()

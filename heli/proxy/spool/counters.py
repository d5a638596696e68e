"""What a spool counts, in a memory-mapped file.

The numbers survive `kill -9`, and a full disk cannot stop them. They count from the day the folder was
made, through all lives of its writer.
"""

import enum
import errno
import mmap
import os
import threading
from pathlib import Path

COUNTERS_NAME = "counters"
_FILE_BYTES = 4096


class Count(enum.IntEnum):
    """The numbers and their places in the file, 8 bytes each."""

    RECORDS_WRITTEN = 0
    BYTES_WRITTEN = 1
    RECORDS_DROPPED = 2
    BODIES_DROPPED = 3
    """Bodies left out to save space, or lost with their record."""
    BODY_BYTES_DROPPED = 4
    WRITE_ERRORS = 5
    SYNCS = 6


class Counters:
    """The counters of one folder; in memory only until `attach`."""

    def __init__(self) -> None:
        self._values = memoryview(mmap.mmap(-1, _FILE_BYTES)).cast("Q")
        self._lock = threading.Lock()

    def add(self, count: Count, number: int = 1) -> None:
        with self._lock:
            self._values[count] += number

    def attach(self, file: Path) -> None:
        """Go on in a file, which is made if need be; what was counted until now is added to it."""
        values = memoryview(_map(file)).cast("Q")
        with self._lock:
            for count in Count:
                values[count] += self._values[count]
            self._values = values

    def __getitem__(self, count: Count) -> int:
        return self._values[count]


def _map(file: Path) -> mmap.mmap:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        missing = _FILE_BYTES - os.fstat(descriptor).st_size
        if missing > 0:  # Written, not only made longer: a page without a block would kill us on a full disk.
            if os.pwrite(descriptor, bytes(missing), _FILE_BYTES - missing) != missing:
                raise OSError(errno.ENOSPC, "no space left for the counters", str(file))
            os.fsync(descriptor)
        return mmap.mmap(descriptor, _FILE_BYTES)
    finally:
        os.close(descriptor)


def read_counters(folder: Path) -> dict[Count, int]:
    """The numbers of a folder whose writer may be at work; all zero when it has none."""
    try:
        raw = (folder / COUNTERS_NAME).read_bytes()
    except FileNotFoundError:
        raw = b""
    values = memoryview(raw.ljust(_FILE_BYTES, b"\0")[:_FILE_BYTES]).cast("Q")
    return {count: values[count] for count in Count}

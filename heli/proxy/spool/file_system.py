"""The system calls by which the spool changes a disk; a seam, so that tests can make each of them fail."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class FileSystem(Protocol):
    """What the spool asks of a disk. Whatever raises `OSError` may have done a part of its work."""

    def open(self, file: Path, flags: int) -> int:
        """A descriptor; a file that this makes is for its owner only."""
        ...

    def write(self, descriptor: int, pieces: Sequence[bytes]) -> int:
        """Write the pieces one after the other; the number of bytes written, which may be less than all."""
        ...

    def fdatasync(self, descriptor: int) -> None: ...

    def truncate(self, descriptor: int, size: int) -> None: ...

    def close(self, descriptor: int) -> None: ...

    def unlink(self, file: Path) -> None: ...

    def replace(self, source: Path, target: Path) -> None: ...

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        ...


class RealFileSystem:
    """The operating system's own."""

    def open(self, file: Path, flags: int) -> int:
        return os.open(file, flags, 0o600)

    def write(self, descriptor: int, pieces: Sequence[bytes]) -> int:
        return os.writev(descriptor, pieces)

    def fdatasync(self, descriptor: int) -> None:
        sync_data(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def unlink(self, file: Path) -> None:
        file.unlink()

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


sync_data = getattr(os, "fdatasync", os.fsync)
"""macOS has no fdatasync."""

REAL = RealFileSystem()

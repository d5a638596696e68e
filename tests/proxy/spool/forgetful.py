"""A file system that may lose, at a power cut, all that was not synced."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from heli.proxy.spool.file_system import RealFileSystem


class ForgetfulFileSystem(RealFileSystem):
    """Writes to real files and remembers what a disk would still hold."""

    def __init__(self) -> None:
        self.fails_next: str | None = None
        """The call that fails, once."""
        self.torn_bytes = 0
        self._files: dict[int, Path] = {}
        self._synced: dict[Path, bytes] = {}
        self._durable_names: set[Path] = set()
        self._unsynced_unlinks: dict[Path, bytes] = {}

    def open(self, file: Path, flags: int) -> int:
        self._maybe_fail("open")
        descriptor = super().open(file, flags)
        self._files[descriptor] = file
        self._synced.setdefault(file, b"")
        return descriptor

    def write(self, descriptor: int, pieces: Sequence[bytes]) -> int:
        if self.fails_next == "write" and self.torn_bytes:
            self.fails_next = None
            return super().write(descriptor, [b"".join(pieces)[: self.torn_bytes]])
        self._maybe_fail("write")
        return super().write(descriptor, pieces)

    def fdatasync(self, descriptor: int) -> None:
        self._maybe_fail("fdatasync")
        file = self._files[descriptor]
        self._synced[file] = file.read_bytes()

    def truncate(self, descriptor: int, size: int) -> None:
        self._maybe_fail("truncate")
        super().truncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        self._files.pop(descriptor)
        super().close(descriptor)

    def unlink(self, file: Path) -> None:
        self._maybe_fail("unlink")
        super().unlink(file)
        if file in self._durable_names:
            self._unsynced_unlinks[file] = self._synced[file]
        self._synced.pop(file, None)

    def replace(self, source: Path, target: Path) -> None:
        self._maybe_fail("replace")
        super().replace(source, target)
        self._synced[target] = self._synced.pop(source)
        self._durable_names.discard(source)

    def sync_folder(self, folder: Path) -> None:
        self._maybe_fail("sync_folder")
        self._durable_names = {file for file in self._synced if file.parent == folder and file.exists()}
        self._unsynced_unlinks.clear()

    def cut_power(self, keep: Callable[[int], int], *, are_unlinks_kept: bool) -> None:
        """Forget what is not synced, but `keep(n)` bytes of the n that were appended to a file since."""
        for descriptor in list(self._files):
            self.close(descriptor)
        for file, synced in list(self._synced.items()):
            if file not in self._durable_names:
                file.unlink(missing_ok=True)
                del self._synced[file]
                continue
            tail = file.read_bytes()[len(synced) :]
            self._synced[file] = synced + tail[: keep(len(tail))]
            file.write_bytes(self._synced[file])
        if not are_unlinks_kept:
            for file, content in self._unsynced_unlinks.items():
                file.write_bytes(content)
                self._synced[file] = content
        self._unsynced_unlinks.clear()
        self.fails_next = None

    def _maybe_fail(self, call: str) -> None:
        if self.fails_next == call:
            self.fails_next = None
            raise OSError(5, f"injected into {call}", os.fsdecode(call))

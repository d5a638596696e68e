"""Bodies on this machine: append-only packs, `<folder>/<day>/<pack>.pack`.

Each process writes packs of its own, one at a time, and never appends to one that it did not begin: what
a crash tore off at the end of a pack stays there, was never acknowledged, and disturbs nothing.

A pack is `MAGIC`, then frames: `FRAME` (marker, length, checksum, id) and that many bytes of zstd.
"""

import contextlib
import datetime
import mmap
import os
import re
import secrets
import shutil
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import zstandard

from heli.backend.stores.bodies import Body
from heli.backend.stores.errors import StoreError
from heli.schema.errors import NotFoundError, UnreachableError
from heli.schema.paths import make_private

MAGIC = b"heli bodies 1\n"
MARKER = b"\xf5BDY"
FRAME = struct.Struct("<4sII16s")
MAX_PACK = 256 * 1024 * 1024
REF = re.compile(r"(\d{4}-\d{2}-\d{2})/([0-9a-f]{12})/(\d+)")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def utc_today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


class PackedBodyStore:
    """A `BodyStore` in a folder; several processes may use the same one."""

    def __init__(
        self, folder: Path, today: Callable[[], datetime.date] = utc_today, max_pack_bytes: int = MAX_PACK
    ) -> None:
        self._folder = folder
        self._today = today
        self._max_pack_bytes = max_pack_bytes
        self._lock = threading.Lock()
        self._pack: _Pack | None = None

    def put_many(self, items: Sequence[tuple[UUID, bytes]]) -> list[str]:
        if not items:
            return []
        compress = zstandard.ZstdCompressor(level=3).compress
        frames = [_frame(id, compress(data)) for id, data in items]
        with self._lock:
            try:
                pack = self._writable()
                start = pack.append(b"".join(frames))
            except OSError as error:
                self._abandon()
                raise UnreachableError(
                    f"the bodies cannot be written to {self._folder}: {error.strerror}",
                    "free some space or mend the disk; nothing is lost meanwhile, the spool keeps the calls",
                ) from error
        refs = []
        for frame in frames:
            refs.append(f"{pack.day}/{pack.name}/{start}")
            start += len(frame)
        return refs

    def get(self, ref: str) -> bytes:
        if (match := REF.fullmatch(ref)) is None:
            raise NotFoundError(f"{ref!r} is no reference to a body")
        day, name, offset = match[1], match[2], int(match[3])
        try:
            with (self._folder / day / f"{name}.pack").open("rb") as stream:
                stream.seek(offset)
                found = _read_frame(stream.read(FRAME.size), stream.read)
        except FileNotFoundError:
            raise NotFoundError(f"the body {ref} is not kept any more") from None
        except OSError as error:
            raise UnreachableError(f"the body {ref} cannot be read: {error.strerror}") from error
        if found is None:
            raise StoreError(f"the body {ref} is damaged")
        return found[1]

    def iterate(self) -> Iterator[Body]:
        for folder in self._days():
            for file in sorted(folder.glob("*.pack"), key=lambda file: (file.stat().st_mtime_ns, file.name)):
                if not (size := file.stat().st_size):
                    continue
                with file.open("rb") as stream, mmap.mmap(stream.fileno(), size, prot=mmap.PROT_READ) as pack:
                    for offset, id, data in _frames(pack):
                        yield Body(f"{folder.name}/{file.stem}/{offset}", id, data)

    def delete_before(self, day: datetime.date) -> int:
        return sum(self._delete(folder) for folder in self._days() if folder.name < day.isoformat())

    def close(self) -> None:
        with self._lock:
            self._abandon()

    def _delete(self, folder: Path) -> int:
        """Delete a day; returns its size."""
        with self._lock:
            if self._pack is not None and self._pack.day == folder.name:
                self._abandon()
            try:
                size = sum(file.stat().st_size for file in folder.iterdir())
                shutil.rmtree(folder)
            except OSError as error:
                raise UnreachableError(
                    f"the bodies in {folder} cannot be deleted: {error.strerror}",
                    "check who owns that folder",
                ) from error
        return size

    def _days(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(folder for folder in self._folder.iterdir() if DAY.fullmatch(folder.name))

    def _writable(self) -> "_Pack":
        day = self._today().isoformat()
        if self._pack is not None and (self._pack.day != day or self._pack.size >= self._max_pack_bytes):
            self._abandon()
        if self._pack is None:
            self._pack = _Pack(self._folder, day)
        return self._pack

    def _abandon(self) -> None:
        """Close the pack. After a failed sync nobody knows what of it is on disk: no more goes into it."""
        if self._pack is not None:
            self._pack.close()
            self._pack = None


class _Pack:
    """A pack that this process writes."""

    def __init__(self, root: Path, day: str) -> None:
        self.day = day
        self.name = secrets.token_hex(6)
        folder = make_private(make_private(root) / day)
        self._file = folder / f"{self.name}.pack"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._file, flags, 0o600)
        self.size = 0
        try:
            self.append(MAGIC)
            for changed in (folder, root, root.parent):
                _sync_folder(changed)
        except OSError:
            self.close()
            raise

    def append(self, data: bytes) -> int:
        """Write at the end and wait until it is on disk; returns where it begins. An error undoes it."""
        start = at = self.size
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, at)
                at += written
                view = view[written:]
            os.fdatasync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                os.ftruncate(self._descriptor, start)
            raise
        self.size = at
        return start

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what matters was synced, or refused, before
            os.close(self._descriptor)
            if self.size <= len(MAGIC):
                self._file.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _frame(id: UUID, packed: bytes) -> bytes:
    return FRAME.pack(MARKER, len(packed), zlib.crc32(packed, zlib.crc32(id.bytes)), id.bytes) + packed


def _read_frame(head: bytes, read: Callable[[int], bytes]) -> tuple[UUID, bytes] | None:
    """The item of a frame, `None` when the frame is not whole."""
    if len(head) < FRAME.size:
        return None
    marker, length, checksum, id = FRAME.unpack(head)
    if marker != MARKER:
        return None
    packed = read(length)
    if len(packed) < length or zlib.crc32(packed, zlib.crc32(id)) != checksum:
        return None
    try:
        return UUID(bytes=id), zstandard.decompress(packed)
    except zstandard.ZstdError:
        return None


def _frames(pack: bytes | mmap.mmap) -> Iterator[tuple[int, UUID, bytes]]:
    """`(offset, id, item)` of each whole frame; behind a damaged one, the next marker is looked for."""
    at = pack.find(MARKER)
    while at >= 0:
        body = at + FRAME.size
        found = _read_frame(pack[at:body], lambda length, body=body: pack[body : body + length])  # type: ignore[misc]
        if found is None:
            at = pack.find(MARKER, at + 1)
            continue
        yield at, *found
        at = pack.find(MARKER, body + FRAME.unpack_from(pack, at)[1])

"""Segments: the files of a spool folder, `<number>-<incarnation>-<salt>.seg`, a header and then frames.

The name repeats what the header says, so that a damaged header costs no frame. An incarnation is one life
of one writer; numbers only ever grow in a folder, also when all segments in it were deleted.
"""

import errno
import os
import secrets
import struct
import time
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from heli.proxy.spool.crash_points import reach
from heli.proxy.spool.file_system import FileSystem
from heli.proxy.spool.frames import SALT_BYTES, FrameScanner

SUFFIX = ".seg"
DRAFT_SUFFIX = ".draft"
"""Of a file that is to replace a segment."""
_NAMES_KNOWN = 8192
"""Folders are listed many times a second, and a call of an hour may hold hundreds of segments. A few MB."""
FORMAT_VERSION = 1
INCARNATION_BYTES = 8
_MAGIC = b"heli-seg"
_HEADER = struct.Struct("<8sI8s8sQ24x")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CHECKSUM.size


class Segment(NamedTuple):
    """One segment file, as its name tells. Ordered by number."""

    number: int
    incarnation: bytes
    salt: bytes
    file: Path


def new_incarnation() -> bytes:
    return secrets.token_bytes(INCARNATION_BYTES)


def list_segments(folder: Path) -> list[Segment]:
    """The segments of a worker's folder, oldest first; other files are none of them."""
    with os.scandir(folder) as entries:
        found = [
            _parse(entry.path, entry.name)
            for entry in entries
            if entry.name.endswith(SUFFIX) and entry.is_file()
        ]
    return sorted(segment for segment in found if segment is not None)


def remove_drafts(folder: Path, disk: FileSystem) -> None:
    """What a crash left of files that were to replace a segment."""
    for draft in folder.glob(f"*{DRAFT_SUFFIX}"):
        disk.unlink(draft)


@lru_cache(_NAMES_KNOWN)
def _parse(path: str, name: str) -> Segment | None:
    try:
        number, incarnation, salt = name.removesuffix(SUFFIX).split("-")
        parsed = Segment(int(number), bytes.fromhex(incarnation), bytes.fromhex(salt), Path(path))
    except ValueError:
        return None
    is_ours = len(parsed.salt) == SALT_BYTES and len(parsed.incarnation) == INCARNATION_BYTES
    return parsed if is_ours else None


def make_segment(
    folder: Path, number: int, incarnation: bytes, disk: FileSystem, *, is_synced: bool = True
) -> tuple[Segment, int]:
    """A new segment and a descriptor that appends to it; on disk with its name, unless that can wait."""
    salt = secrets.token_bytes(SALT_BYTES)
    file = folder / f"{number:012d}-{incarnation.hex()}-{salt.hex()}{SUFFIX}"
    descriptor = disk.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
    try:
        reach("spool.segment_made")
        write_header(descriptor, incarnation, salt, disk)
        reach("spool.header_written")
        if is_synced:
            disk.fdatasync(descriptor)
            disk.sync_folder(folder)
            reach("spool.segment_synced")
    except OSError:
        disk.close(descriptor)
        disk.unlink(file)
        raise
    return Segment(number, incarnation, salt, file), descriptor


def write_header(descriptor: int, incarnation: bytes, salt: bytes, disk: FileSystem) -> None:
    """Raises `OSError` also when only a part could be written."""
    body = _HEADER.pack(_MAGIC, FORMAT_VERSION, salt, incarnation, time.time_ns())
    if disk.write(descriptor, [body + _CHECKSUM.pack(zlib.crc32(body))]) != HEADER_BYTES:
        raise OSError(errno.ENOSPC, "no space left for the header of a segment")


def open_scanner(segment: Segment, descriptor: int) -> FrameScanner:
    """A scanner at the first frame. The header is believed before the name, the name if it is damaged."""
    salt = read_salt(descriptor)
    if salt is None:
        return FrameScanner(descriptor, segment.salt, 0)
    return FrameScanner(descriptor, salt, HEADER_BYTES)


def read_salt(descriptor: int) -> bytes | None:
    """What the header of a segment says; `None` when it is damaged."""
    raw = os.pread(descriptor, HEADER_BYTES, 0)
    body = raw[: _HEADER.size]
    if len(raw) < HEADER_BYTES or raw[_HEADER.size :] != _CHECKSUM.pack(zlib.crc32(body)):
        return None
    salt: bytes = _HEADER.unpack(body)[2]
    return salt

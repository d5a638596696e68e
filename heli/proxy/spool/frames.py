"""Frames: how one record lies in a segment, and how intact ones are found again in a damaged one.

A frame is `marker, length, sequence, crc32, payload`. The marker and the seed of the checksum are the
segment's salt: random, and never told to anybody, so that captured content cannot pass for a frame.
The sequence counts the records of one writer from 1: a number that comes twice is a record that was written
again after an error, a number that is missing is a record that was lost.
"""

import os
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

SALT_BYTES = 8
MAX_PAYLOAD_BYTES = 128 * 1024 * 1024
"""A longer length is damage."""

_PREFIX = struct.Struct("<4sIQ")
_CHECKSUM = struct.Struct("<I")
_pack_prefix: Final = _PREFIX.pack
_pack_checksum: Final = _CHECKSUM.pack
_HEADER = struct.Struct("<4sIQI")
FRAME_OVERHEAD = _HEADER.size
_WINDOW_BYTES = 512 * 1024
_READ_BYTES = 4096


class Frame(NamedTuple):
    """An intact frame and where it lies in its segment."""

    offset: int
    sequence: int
    payload: bytes

    @property
    def end(self) -> int:
        return self.offset + FRAME_OVERHEAD + len(self.payload)


class Damage(NamedTuple):
    """Bytes that belong to no intact frame."""

    offset: int
    lost_bytes: int


class FrameHeaders:
    """Makes what stands before the payloads of one segment."""

    __slots__ = ("_marker", "_seed")

    def __init__(self, salt: bytes) -> None:
        self._marker, self._seed = salt[:4], _seed_of(salt)

    def make(self, sequence: int, payload: bytes) -> bytes:
        prefix: bytes = _pack_prefix(self._marker, len(payload), sequence)
        return prefix + _pack_checksum(crc32(payload, crc32(prefix, self._seed)))


def _seed_of(salt: bytes) -> int:
    return int.from_bytes(salt[4:])


def _checksum(salt: bytes, prefix: bytes, payload: bytes) -> int:
    return crc32(payload, crc32(prefix, _seed_of(salt)))


def read_frame(descriptor: int, salt: bytes, offset: int) -> Frame | None:
    """The frame at an offset that was told before; `None` when it is intact no more."""
    start = os.pread(descriptor, _READ_BYTES, offset)
    if len(start) < FRAME_OVERHEAD or start[:4] != salt[:4]:
        return None
    _, length, sequence, checksum = _HEADER.unpack_from(start)
    if length > MAX_PAYLOAD_BYTES:
        return None
    payload = start[FRAME_OVERHEAD : FRAME_OVERHEAD + length]
    if len(payload) < length:
        payload += os.pread(descriptor, length - len(payload), offset + FRAME_OVERHEAD + len(payload))
    if len(payload) < length or _checksum(salt, start[: _PREFIX.size], payload) != checksum:
        return None
    return Frame(offset, sequence, payload)


def skim_frames(descriptor: int, salt: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    """Offset and first two bytes of the payload of each frame behind a position; checksums are not looked at.

    Ten times as fast as to scan; where there is damage it may tell one frame too many or too few.
    """
    marker, size = salt[:4], os.fstat(descriptor).st_size
    window, start = b"", position
    while position + FRAME_OVERHEAD < size:
        at = position - start
        if at + FRAME_OVERHEAD + 2 > len(window):
            window, start, at = os.pread(descriptor, _WINDOW_BYTES, position), position, 0
            if len(window) < FRAME_OVERHEAD + 2:
                return
        found, length, _, _ = _HEADER.unpack_from(window, at)
        end = position + FRAME_OVERHEAD + length
        if found == marker and end <= size:
            yield position, window[at + FRAME_OVERHEAD : at + FRAME_OVERHEAD + 2]
            position = end
        else:
            following = window.find(marker, at + 1)
            position = start + following if following >= 0 else start + max(at + 1, len(window) - 3)


class FrameScanner:
    """Walks through the frames of one segment, which may still be growing."""

    def __init__(self, descriptor: int, salt: bytes, position: int) -> None:
        self.position = position
        """The end of what was told so far."""
        self._descriptor = descriptor
        self._salt = salt
        self._window = b""
        self._window_start = 0
        self._size = 0
        """Of the file, a moment before the window was read."""

    def next(self, *, is_sealed: bool) -> Frame | Damage | None:
        """The next frame, or the bytes that were skipped to reach one; `None` at the end.

        While the segment is not sealed, an incomplete frame at its end is one that is being written.
        """
        if not self._window and os.fstat(self._descriptor).st_size <= self.position:
            return None  # The cheap answer, for those who ask again and again.
        frame = self._frame_at(self.position) or self._frame_seen_anew()
        if frame is not None:
            self.position = frame.end
            return frame
        damage = self._skip(is_sealed)
        if damage is None:
            self._window = b""  # The writer may replace a torn tail: look again next time.
        else:
            self.position += damage.lost_bytes
        return damage

    def _frame_seen_anew(self) -> Frame | None:
        """The frame at the position, if it was still being written when it was read.

        From here on `_size` is older than what is read: what ends before it and is not intact is damaged.
        """
        self._size = os.fstat(self._descriptor).st_size
        if self.position >= self._size:
            return None
        self._window = b""
        return self._frame_at(self.position)

    def _skip(self, is_sealed: bool) -> Damage | None:
        size = self._size
        if self.position >= size or (not is_sealed and self._is_unfinished(size)):
            return None
        found = self._resync(self.position + 1)
        if found is None:
            if not is_sealed:
                return None
            found = size
        return Damage(self.position, found - self.position)

    def _is_unfinished(self, size: int) -> bool:
        """Whether what stands at the position may become a frame when more is written."""
        header = self._read(self.position, FRAME_OVERHEAD)
        if len(header) < FRAME_OVERHEAD:
            return True
        marker, length, _, _ = _HEADER.unpack(header)
        end: int = self.position + FRAME_OVERHEAD + length
        return bool(marker == self._salt[:4] and length <= MAX_PAYLOAD_BYTES and end > size)

    def _resync(self, start: int) -> int | None:
        """Where the next intact frame begins; `None` also when one before it may be still being written."""
        marker = self._salt[:4]
        while len(self._read(start, len(marker))) == len(marker):
            found = self._window.find(marker, start - self._window_start)
            if found < 0:
                start = self._window_start + len(self._window) - len(marker) + 1
                self._window = b""
                continue
            start = self._window_start + found
            if (frame := self._frame_at(start)) is not None:
                return start if frame.end <= self._size else None
            start += 1
        return None

    def _frame_at(self, offset: int) -> Frame | None:
        header = self._read(offset, FRAME_OVERHEAD)
        if len(header) < FRAME_OVERHEAD:
            return None
        marker, length, sequence, checksum = _HEADER.unpack(header)
        if marker != self._salt[:4] or length > MAX_PAYLOAD_BYTES:
            return None
        payload = self._read(offset + FRAME_OVERHEAD, length)
        if len(payload) < length or _checksum(self._salt, header[: _PREFIX.size], payload) != checksum:
            return None
        return Frame(offset, sequence, payload)

    def _read(self, offset: int, count: int) -> bytes:
        """Bytes from the window, which moves when needed; fewer at the end of the file."""
        start = offset - self._window_start
        if start < 0 or start + count > len(self._window):
            if count > _WINDOW_BYTES and offset + count > os.fstat(self._descriptor).st_size:
                return b""
            self._window = os.pread(self._descriptor, max(count, _WINDOW_BYTES), offset)
            self._window_start = offset
            start = 0
        return self._window[start : start + count]

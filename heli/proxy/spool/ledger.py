"""The ledger of a worker's folder: how far the backend has acknowledged it, and the batch that is planned.

Two slots are written in turn, each with a checksum: a torn write costs the newest state, never the one
before it. Without a valid slot everything in the folder is sent again, which the backend notices by the ids.
"""

import os
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from heli.proxy.spool.crash_points import reach
from heli.proxy.spool.file_system import REAL, FileSystem

LEDGER_NAME = "shipped"
SEGMENT_END = 2**63 - 1
"""The offset behind everything in a segment."""
_SLOT_BYTES = 4096


class Position(NamedTuple):
    """A place in the order of a folder's records."""

    segment: int
    offset: int


class LedgerState(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One state of the ledger."""

    generation: int = 0
    acknowledged: Position = Position(0, 0)
    """Every exchange whose end lies before or at it is in the backend or in the dead letters."""
    planned: Position | None = None
    """Where the batch ends that was sent, or was about to be, after `acknowledged`."""
    exchanges: int = 0
    """How many were acknowledged since the folder was made."""
    lost_frames: int = 0
    """Records of which only the absence was found."""
    lost_bytes: int = 0
    """Bytes of damaged frames."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LedgerState).decode


def read_ledger(folder: Path) -> LedgerState:
    """The newest state that is whole."""
    try:
        raw = (folder / LEDGER_NAME).read_bytes()
    except FileNotFoundError:
        return LedgerState()
    states = [_parse_slot(raw[:_SLOT_BYTES]), _parse_slot(raw[_SLOT_BYTES:])]
    return max(
        (state for state in states if state), key=lambda state: state.generation, default=LedgerState()
    )


def make_ledger(folder: Path) -> None:
    """Take the room for a ledger while there is some: one that is there can be written on a full disk."""
    if (folder / LEDGER_NAME).exists():
        return
    descriptor = os.open(folder / LEDGER_NAME, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, bytes(2 * _SLOT_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse_slot(raw: bytes) -> LedgerState | None:
    length, checksum = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:8], "little")
    body = raw[8 : 8 + length]
    if not body or len(body) < length or zlib.crc32(body) != checksum:
        return None
    try:
        return _decode(body)
    except msgspec.DecodeError:
        return None


class Ledger:
    """The ledger as its one writer, the shipper, sees it."""

    def __init__(self, folder: Path, disk: FileSystem = REAL) -> None:
        self.state = read_ledger(folder)
        self._disk = disk
        self._file = folder / LEDGER_NAME

    def plan(self, end: Position) -> None:
        """Fix where the next batch ends; it is on disk when this returns."""
        self._store(msgspec.structs.replace(self.state, planned=end), "ledger.plan")

    def advance(self, to: Position, exchanges: int = 0, lost_frames: int = 0, lost_bytes: int = 0) -> None:
        """Everything up to `to` is acknowledged; it is on disk when this returns."""
        state = msgspec.structs.replace(
            self.state,
            acknowledged=to,
            planned=None,
            exchanges=self.state.exchanges + exchanges,
            lost_frames=self.state.lost_frames + lost_frames,
            lost_bytes=self.state.lost_bytes + lost_bytes,
        )
        self._store(state, "ledger.advance")

    def _store(self, state: LedgerState, step: str) -> None:
        state = msgspec.structs.replace(state, generation=self.state.generation + 1)
        body = _encode(state)
        header = len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little")
        slot = (header + body).ljust(_SLOT_BYTES, b"\0")
        is_new = not self._file.exists()
        descriptor = self._disk.open(self._file, os.O_RDWR | os.O_CREAT)
        try:
            os.lseek(descriptor, state.generation % 2 * _SLOT_BYTES, os.SEEK_SET)
            if self._disk.write(descriptor, [slot]) != _SLOT_BYTES:
                raise OSError(f"the ledger {self._file} could not be written whole")
            reach(f"{step}_written")
            self._disk.fdatasync(descriptor)
        finally:
            self._disk.close(descriptor)
        if is_new:
            self._disk.sync_folder(self._file.parent)
        self.state = state
        reach(f"{step}_synced")

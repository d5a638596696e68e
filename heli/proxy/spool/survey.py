"""How much each worker's spool holds and what it lost, for `heli status`; works when nothing runs."""

import os
import time
from pathlib import Path

import msgspec

from heli.proxy.spool.counters import Count, read_counters
from heli.proxy.spool.frames import Frame, read_frame, skim_frames
from heli.proxy.spool.holes import TOMBSTONE
from heli.proxy.spool.ledger import LedgerState, Position, read_ledger
from heli.proxy.spool.segments import HEADER_BYTES, Segment, list_segments, read_salt
from heli.schema.exchange import Closed, Whole, decode_record
from heli.schema.heartbeat import WorkerSpool

_END_TAGS = {b"\x03", b"\x04"}


def survey(folder: Path, dead_letters: Path | None = None, now_s: float | None = None) -> list[WorkerSpool]:
    """The state of every worker's folder in the spool, by name.

    Cheap when the backend keeps up; else it skims what waits, which takes seconds for a GiB.
    """
    if not folder.is_dir():
        return []
    dead_letters = dead_letters or folder.parent / "dead-letters"
    now_s = time.time() if now_s is None else now_s
    return [_survey_safely(each, dead_letters, now_s) for each in sorted(folder.iterdir()) if each.is_dir()]


def _survey_safely(folder: Path, dead_letters: Path, now_s: float) -> WorkerSpool:
    """One folder in trouble must not hide the others."""
    try:
        return _survey_worker(folder, dead_letters, now_s)
    except OSError as error:
        return WorkerSpool(
            worker=folder.name,
            records=0,
            bytes=0,
            oldest_s=None,
            dropped_records=0,
            dropped_bodies=0,
            lost_records=0,
            lost_bytes=0,
            dead_letters=0,
            trouble=f"{error.filename or folder} cannot be read: {(error.strerror or str(error)).lower()}",
        )


def _survey_worker(folder: Path, dead_letters: Path, now_s: float) -> WorkerSpool:
    ledger, counts = read_ledger(folder), read_counters(folder)
    size, waiting, oldest = _measure(folder, ledger)
    return WorkerSpool(
        worker=folder.name,
        records=waiting,
        bytes=size,
        oldest_s=None if oldest is None else max(0.0, now_s - oldest),
        dropped_records=counts[Count.RECORDS_DROPPED],
        dropped_bodies=counts[Count.BODIES_DROPPED],
        lost_records=ledger.lost_frames,
        lost_bytes=ledger.lost_bytes,
        dead_letters=sum(1 for _ in (dead_letters / folder.name).glob("*.exchange")),
    )


def _measure(folder: Path, ledger: LedgerState) -> tuple[int, int, float | None]:
    """Bytes of all segments, records that wait, and when the first of them ended."""
    size = waiting = 0
    oldest: float | None = None
    for segment in list_segments(folder):
        try:
            descriptor = os.open(segment.file, os.O_RDONLY)
        except FileNotFoundError:  # It was shipped just now.
            continue
        try:
            size += os.fstat(descriptor).st_size
            found, first = _count_ends(segment, descriptor, ledger.acknowledged)
        finally:
            os.close(descriptor)
        waiting += found
        oldest = first if oldest is None else oldest
    return size, waiting, oldest


def _count_ends(segment: Segment, descriptor: int, acknowledged: Position) -> tuple[int, float | None]:
    """How many calls end in a segment behind a position, and when the first of them did."""
    if acknowledged.segment > segment.number:
        return 0, None
    is_begun = acknowledged.segment == segment.number
    position = max(HEADER_BYTES, min(acknowledged.offset, os.fstat(descriptor).st_size) if is_begun else 0)
    salt = read_salt(descriptor) or segment.salt
    count = 0
    first: float | None = None
    for offset, start in skim_frames(descriptor, salt, position):
        if start[1:] in _END_TAGS or start.startswith(TOMBSTONE):
            count += 1
            first = _ended_at(read_frame(descriptor, salt, offset)) if first is None else first
    return count, first


def _ended_at(frame: Frame | None) -> float | None:
    try:
        record = decode_record(frame.payload) if frame is not None else None
    except msgspec.DecodeError:
        return None
    if not isinstance(record, Whole | Closed):
        return None
    return record.exchange.started_ns / 1e9 + (record.exchange.end_us or 0) / 1e6

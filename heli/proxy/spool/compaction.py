"""Makes a segment small of which everything was shipped but pieces of calls that are still in flight.

Without it a call of an hour would keep an hour of other calls on the disk.
"""

import logging
import os
from pathlib import Path

from heli.proxy.spool.crash_points import reach
from heli.proxy.spool.file_system import FileSystem
from heli.proxy.spool.frames import FRAME_OVERHEAD, FrameHeaders
from heli.proxy.spool.pieces import PieceReader
from heli.proxy.spool.reassembly import Reassembler
from heli.proxy.spool.segments import DRAFT_SUFFIX, HEADER_BYTES, Segment, write_header

_WORTH_BYTES = 64 * 1024

log = logging.getLogger("heli.shipper")


def compact(segment: Segment, calls: Reassembler, pieces: PieceReader, disk: FileSystem) -> None:
    """Replace a segment by a copy that holds what calls in flight need of it; or not, on a full disk."""
    size = segment.file.stat().st_size
    if size < _WORTH_BYTES or size < 2 * _needed_bytes(segment, calls, pieces):
        return
    draft = segment.file.with_suffix(DRAFT_SUFFIX)
    try:
        offsets = _copy(segment, draft, calls, pieces, disk)
    except OSError as error:
        log.info("the segment %s stays as it is, it could not be copied: %s", segment.file, error)
        if draft.exists():
            disk.unlink(draft)
        return
    pieces.forget(segment.number)
    disk.replace(draft, segment.file)
    disk.sync_folder(segment.file.parent)
    reach("compaction.segment_replaced")
    calls.move(segment.number, offsets)


def _needed_bytes(segment: Segment, calls: Reassembler, pieces: PieceReader) -> int:
    return sum(
        FRAME_OVERHEAD + len(frame.payload)
        for offset in calls.pieces_in(segment.number)
        if (frame := pieces.read(segment.number, offset)) is not None
    )


def _copy(
    segment: Segment, draft: Path, calls: Reassembler, pieces: PieceReader, disk: FileSystem
) -> dict[int, int]:
    """Write and sync the copy; where each piece went that could be read."""
    offsets: dict[int, int] = {}
    end = HEADER_BYTES
    headers = FrameHeaders(segment.salt)
    descriptor = disk.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_header(descriptor, segment.incarnation, segment.salt, disk)
        for offset in calls.pieces_in(segment.number):
            frame = pieces.read(segment.number, offset)
            if frame is None:
                continue
            offsets[offset] = end
            header = headers.make(frame.sequence, frame.payload)
            size = len(header) + len(frame.payload)
            if disk.write(descriptor, [header, frame.payload]) != size:
                raise OSError(f"no space left for {draft}")
            end += size
        reach("compaction.copy_written")
        disk.fdatasync(descriptor)
    finally:
        disk.close(descriptor)
    reach("compaction.copy_synced")
    return offsets

"""Builders and readers for the tests of the spool."""

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from heli.proxy.spool.file_system import RealFileSystem
from heli.proxy.spool.frames import Damage, Frame
from heli.proxy.spool.segments import list_segments, open_scanner
from heli.schema.exchange import (
    Closed,
    Direction,
    Exchange,
    Grown,
    Listener,
    Opened,
    Outcome,
    Whole,
    encode_record,
)
from heli.schema.settings import SpoolSettings


def an_id(number: int) -> bytes:
    return number.to_bytes(16)


def an_exchange(number: int = 1, **changes: object) -> Exchange:
    exchange = Exchange(
        id=an_id(number),
        started_ns=1_700_000_000_000_000_000 + number,
        listener=Listener.OPENAI,
        outcome=Outcome.COMPLETE,
        origin="https://api.openai.com",
        method="POST",
        path="/v1/chat/completions",
        request_headers=[(b"Content-Type", b"application/json")],
        request_body=b"question %d" % number,
        request_body_bytes=len(b"question %d" % number),
        response_status=200,
        response_headers=[(b"Content-Type", b"application/json")],
        response_body=b"answer %d" % number,
        response_body_bytes=len(b"answer %d" % number),
        request_end_us=10,
        first_byte_us=20,
        end_us=30,
    )
    return msgspec.structs.replace(exchange, **changes)


def a_whole(number: int = 1, **changes: object) -> bytes:
    return encode_record(Whole(exchange=an_exchange(number, **changes)))


def an_opened(number: int = 1, **changes: object) -> bytes:
    bare = {
        "outcome": Outcome.INTERRUPTED,
        "end_us": None,
        "response_status": None,
        "response_headers": [],
        "response_body": b"",
        "response_body_bytes": 0,
        "first_byte_us": None,
    }
    return encode_record(Opened(exchange=an_exchange(number, **(bare | changes))))


def a_grown(number: int = 1, data: bytes = b"more", **changes: object) -> bytes:
    grown = Grown(id=an_id(number), direction=Direction.RESPONSE, data=data, chunks=[(25, len(data))])
    return encode_record(msgspec.structs.replace(grown, **changes))


def a_closed(number: int = 1, **changes: object) -> bytes:
    rest = {"request_body": b"", "response_body": b""}
    return encode_record(Closed(exchange=an_exchange(number, **(rest | changes))))


def spool_settings(**changes: int) -> SpoolSettings:
    return msgspec.structs.replace(SpoolSettings(sync_interval_ms=1), **changes)


def scan(folder: Path) -> Iterator[Frame | Damage]:
    """Everything in the segments of a folder whose writer is gone."""
    for segment in list_segments(folder):
        descriptor = os.open(segment.file, os.O_RDONLY)
        try:
            scanner = open_scanner(segment, descriptor)
            while (found := scanner.next(is_sealed=True)) is not None:
                yield found
        finally:
            os.close(descriptor)


def payloads(folder: Path) -> list[bytes]:
    """Each record once, in the order of its sequence, as long as there was one writer only."""
    frames = {found.sequence: found.payload for found in scan(folder) if isinstance(found, Frame)}
    return [frames[sequence] for sequence in sorted(frames)]


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """For what another thread or process does with no event to wait for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


class FailingFileSystem(RealFileSystem):
    """Asks `fails(call, how many of this call before)` whether to fail; writes may be torn."""

    def __init__(self, fails: Callable[[str, int], bool] = lambda _call, _nth: False) -> None:
        self.fails = fails
        self.calls: dict[str, int] = {}
        self.torn_bytes = 0
        """How much of a failing write is done all the same."""

    def _maybe_fail(self, call: str) -> None:
        nth = self.calls.get(call, 0)
        self.calls[call] = nth + 1
        if self.fails(call, nth):
            raise OSError(errno.ENOSPC, f"injected into {call}")

    def open(self, file: Path, flags: int) -> int:
        self._maybe_fail("open")
        return super().open(file, flags)

    def write(self, descriptor: int, pieces: Sequence[bytes]) -> int:
        try:
            self._maybe_fail("write")
        except OSError:
            if torn := b"".join(pieces)[: self.torn_bytes]:
                return super().write(descriptor, [torn])
            raise
        return super().write(descriptor, pieces)

    def fdatasync(self, descriptor: int) -> None:
        self._maybe_fail("fdatasync")

    def truncate(self, descriptor: int, size: int) -> None:
        self._maybe_fail("truncate")
        super().truncate(descriptor, size)

    def unlink(self, file: Path) -> None:
        self._maybe_fail("unlink")
        super().unlink(file)

    def replace(self, source: Path, target: Path) -> None:
        self._maybe_fail("replace")
        super().replace(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._maybe_fail("sync_folder")

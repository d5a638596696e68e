"""Relays calls in flight to the backend, for those who watch. Best effort: shipping never waits for it."""

import http.client
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from heli.proxy.spool.batches import compress_list
from heli.proxy.spool.frames import Frame, FrameScanner
from heli.proxy.spool.holes import TOMBSTONE
from heli.proxy.spool.segments import list_segments, open_scanner
from heli.proxy.spool.seldom import Seldom
from heli.proxy.spool.sending import BackendConnection
from heli.proxy.spool.stopping import Stop

_POLL_S = 0.1
_TIMEOUT_S = 1.0
_LAG_BYTES = 1024 * 1024
"""Whoever is further behind the end of a segment jumps there."""
_RECORDS_AT_ONCE = 1000
_WHOLE_TAG = b"\x04"

log = logging.getLogger("heli.shipper")


class LiveFollower:
    """The newest segment of one folder, from the moment when the follower was made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._descriptor = -1
        self._scanner: FrameScanner | None = None
        self._open_newest(at_end=True)

    def read(self) -> list[bytes]:
        """The records of calls in flight that came since the last time, or the newest of them."""
        self._skip_what_is_old()
        found = self._read_current()
        if self._open_newest(at_end=False):
            found += self._read_current()
        return found

    def skip(self) -> None:
        """Pass over what came since the last time, without reading it."""
        self._open_newest(at_end=True)
        if self._scanner is not None:
            self._scanner.position = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        if self._scanner is not None:
            os.close(self._descriptor)
            self._scanner = None

    def _read_current(self) -> list[bytes]:
        found: list[bytes] = []
        while self._scanner is not None and (frame := self._scanner.next(is_sealed=False)) is not None:
            if isinstance(frame, Frame) and is_in_flight(frame.payload):
                found.append(frame.payload)
        return found

    def _skip_what_is_old(self) -> None:
        if self._scanner is not None:
            end = os.fstat(self._descriptor).st_size
            if end - self._scanner.position > _LAG_BYTES:
                self._scanner.position = end

    def _open_newest(self, *, at_end: bool) -> bool:
        """Go on to the newest segment if there is a newer one."""
        segments = list_segments(self._folder)
        if not segments or segments[-1].number == self._number:
            return False
        self.close()
        try:
            self._descriptor = os.open(segments[-1].file, os.O_RDONLY)
        except FileNotFoundError:
            return False
        self._number = segments[-1].number
        self._scanner = open_scanner(segments[-1], self._descriptor)
        if at_end:
            self._scanner.position = os.fstat(self._descriptor).st_size
        return True


def is_in_flight(payload: bytes) -> bool:
    """Whether it is an Opened, Grown or Closed record: the first byte is its length, the second its tag."""
    return not payload.startswith(TOMBSTONE) and payload[1:2] != _WHOLE_TAG


class LiveRelay(threading.Thread):
    """Reads all folders ten times a second and posts what is new, once; what is not taken is forgotten.

    While nobody takes anything, nothing is read: under load that would cost a twentieth of a call.
    """

    def __init__(
        self, spool: Path, url: str, token: str, stop: Stop, is_backend_up: Callable[[], bool]
    ) -> None:
        super().__init__(name="heli-live", daemon=True)
        self.skips = 0
        """How often all that was new was passed over, as nobody would have taken it."""
        self._spool = spool
        self._connection = BackendConnection(url, token, _TIMEOUT_S)
        self._stopped = stop
        self._is_backend_up = is_backend_up
        self._followers: dict[Path, LiveFollower] = {}
        self._quiet_until = 0.0
        self._trouble = Seldom(log)

    def run(self) -> None:
        while not self._stopped.wait(_POLL_S):
            try:
                if self._is_heard:
                    self._post(self.read()[-_RECORDS_AT_ONCE:])
                else:
                    self.skip()
            except OSError as error:
                self._trouble.warn("the live feed cannot read the spool, it starts again: %s", error)
                self._forget()
        self._forget()
        self._connection.close()

    @property
    def _is_heard(self) -> bool:
        return self._is_backend_up() and time.monotonic() > self._quiet_until

    def read(self) -> list[bytes]:
        """What is new in all folders."""
        self._look_for_folders()
        return [record for follower in self._followers.values() for record in follower.read()]

    def skip(self) -> None:
        """Pass over what is new in all folders."""
        self._look_for_folders()
        for follower in self._followers.values():
            follower.skip()
        self.skips += 1

    def _look_for_folders(self) -> None:
        for folder in self._spool.iterdir():
            if folder not in self._followers and folder.is_dir():
                self._followers[folder] = LiveFollower(folder)

    def _post(self, records: list[bytes]) -> None:
        if not records:
            return
        body = compress_list([msgspec.Raw(record) for record in records])
        try:
            status, _ = self._connection.post("/v1/ingest/live", body, {})
        except (OSError, http.client.HTTPException) as error:
            log.debug("the live feed was not taken: %s", error)
            status = 0
        if not 200 <= status < 300:
            self._quiet_until = time.monotonic() + _TIMEOUT_S

    def _forget(self) -> None:
        for follower in self._followers.values():
            follower.close()
        self._followers.clear()

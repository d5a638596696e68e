"""Who runs: a locked file for each process.

The lock, which the kernel drops with its holder, says whether a process lives; the JSON beside it says
which one it is. So a file that was left behind by a crash never lies.
"""

import contextlib
import datetime
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from heli.schema.errors import ConflictError
from heli.schema.paths import make_private

CLAIM_PATIENCE_S = 0.2
"""Somebody who only looks holds the lock for an instant."""


class ChildRecord(msgspec.Struct, kw_only=True):
    """What the supervisor tells of one of its processes."""

    name: str
    state: str
    """`starting`, `ready`, `waiting` (to be started again), `stopping` or `stopped`."""
    pid: int | None = None
    ports: dict[str, int] = {}
    started_at: datetime.datetime | None = None
    ready_s: float | None = None
    restarts: int = 0
    log: str = ""
    complaint: tuple[str, str] = ("", "")
    """`(message, hint)` of its last end."""


class ProcessRecord(msgspec.Struct, kw_only=True):
    """A running process; `children` are told by the supervisor alone."""

    name: str
    pid: int
    started_at: datetime.datetime
    ports: dict[str, int] = {}
    supervisor_pid: int | None = None
    children: list[ChildRecord] = []


class ProcessFile:
    """A claim to be the one process of its name; held until it is closed or the process ends."""

    def __init__(self, file: Path, lock: int, record: ProcessRecord) -> None:
        self._file = file
        self._lock = lock
        self.record = record

    @classmethod
    def claim(cls, folder: Path, name: str, ports: dict[str, int]) -> Self:
        """Become the process of this name. Raises `ConflictError` when there is one already."""
        lock = os.open(make_private(folder) / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock_patiently(lock):
            os.close(lock)
            holder = find_running(folder, name)
            who = f" (pid {holder.pid})" if holder else ""
            raise ConflictError(f"{name} runs already{who}", "`heli status` shows it, `heli down` stops it")
        supervisor = os.environ.get(SUPERVISOR_VARIABLE)
        record = ProcessRecord(
            name=name,
            pid=os.getpid(),
            started_at=datetime.datetime.now(datetime.UTC),
            ports=ports,
            supervisor_pid=int(supervisor) if supervisor else None,
        )
        claimed = cls(folder / f"{name}.json", lock, record)
        claimed.write()
        return claimed

    def write(self) -> None:
        """Tell the record as it is now; readers see the old or the new one, never half of it."""
        draft = self._file.with_suffix(f".{os.getpid()}.draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(msgspec.json.encode(self.record))
        draft.replace(self._file)

    def close(self) -> None:
        with contextlib.suppress(PermissionError):  # the store has confined itself; the lock tells the truth
            self._file.unlink(missing_ok=True)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


SUPERVISOR_VARIABLE = "_HELI_SUPERVISOR"
"""Tells a process that it was started by `heli up`, and by which one."""


def find_running(folder: Path, name: str) -> ProcessRecord | None:
    """The living process of this name; `None` when there is none."""
    try:
        lock = os.open(folder / f"{name}.lock", os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if _lock(lock, fcntl.LOCK_SH):
            return None
        return _read(folder / f"{name}.json")
    finally:
        os.close(lock)


def _read(file: Path) -> ProcessRecord | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=ProcessRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # It is starting or ending at this moment.


def _lock_patiently(lock: int) -> bool:
    deadline = time.monotonic() + CLAIM_PATIENCE_S
    while not _lock(lock, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

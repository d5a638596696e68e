"""The lock of a worker's folder: held by its writer for life, so that others can see whether one lives."""

import errno
import fcntl
import os
import time
from pathlib import Path

from heli.proxy.spool.stopping import Stop
from heli.schema.errors import ConflictError

LOCK_NAME = "lock"
_LOOK_AGAIN_S = 0.1
_PATIENCE_S = 3.0
"""Somebody who looks whether a writer lives holds the lock for a moment."""


def take_lock(folder: Path) -> int:
    """The descriptor that holds the lock, until it is closed. Raises `ConflictError` if a writer lives."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _PATIENCE_S
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            os.close(descriptor)
            raise ConflictError(
                f"the spool folder {folder} is in use by another process",
                "stop the other gateway, or give this one another HELI_HOME",
            )
        time.sleep(0.01)
    return descriptor


def try_lock(folder: Path) -> int | None:
    """The descriptor that holds the lock, or `None` while a writer lives."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    if _try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True


def take_lock_patiently(folder: Path, stop: Stop) -> int | None:
    """Wait for whoever holds the lock; `None` when asked to stop before it was free."""
    while (descriptor := try_lock(folder)) is None:
        if stop.wait(_LOOK_AGAIN_S):
            return None
    return descriptor

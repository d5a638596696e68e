"""What heli says once the program has ended: nothing more as soon as somebody wants heli to end as well."""

import os
import select
import signal
import sys
import time

from heli.cli.runs.launching import ENDING
from heli.cli.terminal import for_people

READS_S = 2.0
"""Who has not read for so long is not waited for."""
POLL_S = 0.05


class CalledOffError(Exception):
    """Nobody wants to hear it."""


def heed_signals() -> None:
    """Raises `CalledOffError` when a signal is held back by which people end a program."""
    if signal.sigpending() & ENDING:
        raise CalledOffError


def tell(text: str) -> None:
    """Say it, but never wait for ever on a full pipe. Raises `CalledOffError`, `OSError`.

    The stream is passed by: what it could not write it would write, and wait for, when Python ends.
    """
    if sys.stderr is None:  # as where the descriptor was closed before the start
        return
    left = f"{for_people(text, sys.stderr)}\n".encode(sys.stderr.encoding, "backslashreplace")
    descriptor = sys.stderr.fileno()
    while left:
        _wait_for_room(descriptor)
        left = left[os.write(descriptor, left[: select.PIPE_BUF]) :]


def _wait_for_room(descriptor: int) -> None:
    deadline = time.monotonic() + READS_S
    while not select.select([], [descriptor], [], POLL_S)[1]:
        heed_signals()
        if time.monotonic() > deadline:
            raise CalledOffError

"""Waiting until something is so."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0


def until[T](look: Callable[[], T | None]) -> T:
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)
    return found

"""A child that ends when its parent does, however that came about."""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_ARGUMENT = "parent="


def parent_argument() -> str:
    """What a parent gives its child on the command line, so that it knows whose end is its own."""
    return f"{_ARGUMENT}{os.getpid()}"


def die_with_parent(arguments: Sequence[str]) -> None:
    """Have the kernel send this process SIGTERM when the parent that `arguments` name ends.

    Without such an argument the process is on its own. Only Linux knows how. A parent that ended before
    this was called is noticed too.
    """
    named = next((each.removeprefix(_ARGUMENT) for each in arguments if each.startswith(_ARGUMENT)), "")
    if not named or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(named):
        os.kill(os.getpid(), signal.SIGTERM)

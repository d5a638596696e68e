"""A child that ends when its parent is killed, also with SIGKILL, so that nobody is left behind."""

import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def tie_to_parent() -> Callable[[], None] | None:
    """What a child must do between fork and exec; `None` where the system cannot.

    The kernel sends SIGTERM when the parent's thread ends (prctl(2)), so that the child drains as usual.
    """
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # It died before we were tied.
            os._exit(1)

    return tie

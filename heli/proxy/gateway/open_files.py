"""How many files a worker may have open: each call needs two, for its caller and for its provider."""

import contextlib
import resource

MOST_RESERVED = 1024
"""For the spool, the listeners, and connections to providers that rest."""
MOST_WANTED = 1 << 20


def fit_connections(wanted: int) -> int:
    """Raise this process's limit of open files for so many callers' connections, as far as it may.

    Returns how many there is room for: `wanted`, or fewer. What the process starts inherits the limit.
    """
    needed = min(2 * wanted + MOST_RESERVED, MOST_WANTED)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        possible = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):  # the system may have a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
            soft = possible
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, room_for(soft))


def room_for(open_files: int) -> int:
    """How many callers' connections go with a limit of open files."""
    reserved = min(MOST_RESERVED, open_files // 4)
    return max(1, (open_files - reserved) // 2)

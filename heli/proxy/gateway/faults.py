"""Places at which heli's own work may fail without harm to the call, and how tests make it fail.

`HELI_FAULT=capture_request,spool` arms faults by name: each armed place raises whenever it is passed.
"""

import os


class InjectedFaultError(Exception):
    """Raised on purpose, by a test."""


FAULT_POINTS = (
    "key",
    "identify",
    "capture_request",
    "capture_reply",
    "open_record",
    "grow_record",
    "close_record",
    "spool",
    "tick",
    "sweep",
    "metrics",
)

ARMED: frozenset[str] = frozenset(filter(None, os.environ.get("HELI_FAULT", "").split(",")))


def strike(point: str) -> None:
    """Raise if this place is armed. Callers look at `ARMED` first, which costs next to nothing."""
    if point in ARMED:
        raise InjectedFaultError(point)

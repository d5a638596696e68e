"""Places at which heli's own work may fail without harm to the call, and how tests make it fail.

`HELI_FAULT=capture_request,spool` arms faults by name: each armed place raises whenever it is passed.
"""

import os
from collections.abc import Iterable
from typing import Final


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


class Faults:
    """Which places are armed."""

    def __init__(self, points: Iterable[str]) -> None:
        self.points = frozenset(points)
        self.is_armed = bool(self.points)

    def arm(self, *points: str) -> None:
        """Arm these places and no others."""
        self.points = frozenset(points)
        self.is_armed = bool(points)


FAULTS: Final = Faults(filter(None, os.environ.get("HELI_FAULT", "").split(",")))


def strike(point: str) -> None:
    """Raise if this place is armed, which costs next to nothing where none is."""
    if FAULTS.is_armed and point in FAULTS.points:
        raise InjectedFaultError(point)

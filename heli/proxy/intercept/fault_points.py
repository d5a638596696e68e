"""Places in the interceptor at which heli's own work may fail without harm to the call."""

from heli.proxy.gateway.faults import ARMED, strike

FAULT_POINTS = ("hosts", "leaf", "run", "search", "watch", "sweep", "metrics")
"""By the names of which `HELI_FAULT` arms them; beside them, each hook by its own."""


def pass_by(point: str) -> None:
    """Raise if this place is armed."""
    if ARMED:
        strike(point)

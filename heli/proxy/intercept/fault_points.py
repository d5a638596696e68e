"""Places in the interceptor at which heli's own work may fail without harm to the call."""

FAULT_POINTS = ("hosts", "leaf", "run", "search", "hand_over", "watch", "sweep", "metrics")
"""By the names of which `HELI_FAULT` arms them; `strike` of the gateway's `faults` passes them."""

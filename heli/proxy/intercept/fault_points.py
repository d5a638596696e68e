"""Places in the interceptor at which heli's own work may fail without harm to the call."""

FAULT_POINTS = ("hosts", "leaf", "run", "search", "watch", "sweep", "metrics")
"""By the names of which `HELI_FAULT` arms them; beside them, each hook by its own. `strike` of the gateway's
`faults` passes them."""

"""What a worker counts, in plain integers."""

from collections import Counter

from heli.schema.exchange import Outcome


class Counters:
    """The numbers of one worker since it started."""

    def __init__(self) -> None:
        self.calls_complete = 0
        self.calls: Counter[Outcome] = Counter()
        """Those that ended otherwise, by how."""
        self.calls_unrecorded = 0
        """Calls that went well but are not in the spool, because of a failure of heli's own."""
        self.own_faults = 0
        """Failures of heli's own that no caller noticed."""
        self.heads_refused = 0
        self.connections_refused = 0
        self.connections_opened = 0
        """To providers."""
        self.connections_reused = 0
        self.calls_repeated = 0
        """Calls sent again because a resting connection turned out to be closed."""
        self.targets_refused = 0

"""How much waits in the spool, for a status line that is drawn many times a second."""

import time
from collections.abc import Callable

from heli.cli.status import read_spool
from heli.schema.settings import Loaded

FRESH_S = 2.0


class SpoolDepth:
    """Looks into the spool's folder every other second; unknown when the gateway is on another machine."""

    def __init__(self, loaded: Loaded, clock: Callable[[], float] = time.monotonic) -> None:
        self._loaded = loaded
        self._clock = clock
        self._looked_at: float | None = None
        self._seen: tuple[int | None, int | None] = (None, None)

    def now(self) -> tuple[int | None, int | None]:
        """`(records that wait, records that were dropped)`."""
        if self._looked_at is None or self._clock() - self._looked_at > FRESH_S:
            self._looked_at = self._clock()
            self._seen = self._look()
        return self._seen

    def _look(self) -> tuple[int | None, int | None]:
        if self._loaded.settings.backend.url:
            return None, None
        workers = read_spool(self._loaded)
        return sum(worker.records for worker in workers), sum(worker.dropped_records for worker in workers)

"""What today's calls have cost so far: what the store told last, and what was stored since."""

import datetime
import decimal
from collections.abc import Callable, Sequence
from decimal import Decimal

from heli.schema.request import Request
from heli.schema.usage import CostState

_EXACT = decimal.Context(prec=76)


def machine_time() -> datetime.datetime:
    """Now, in the machine's time zone: whose day it is decides what today is."""
    return datetime.datetime.now(datetime.UTC).astimezone()


class SpentToday:
    """A running sum of known costs that begins again at midnight."""

    def __init__(self, now: Callable[[], datetime.datetime] = machine_time) -> None:
        self._now = now
        self._midnight = self._last_midnight()
        self._cost_usd = Decimal(0)
        self._estimated = 0

    @property
    def cost_usd(self) -> Decimal:
        self._roll()
        return self._cost_usd

    @property
    def estimated_cost_requests(self) -> int:
        """How many of the costs in the sum are estimates."""
        self._roll()
        return self._estimated

    @property
    def since(self) -> datetime.datetime:
        """When today began."""
        self._roll()
        return self._midnight

    def add(self, requests: Sequence[Request]) -> None:
        """Requests that were just stored."""
        self._roll()
        for request in requests:
            if request.cost_usd is not None and request.created_at >= self._midnight:
                self._cost_usd = _EXACT.add(self._cost_usd, request.cost_usd)
                self._estimated += request.cost_state is CostState.ESTIMATED

    def correct(self, cost_usd: Decimal, since: datetime.datetime, estimated: int = 0) -> None:
        """Take over the sum that the store gives, which must hold all that was added, if it is today's."""
        self._roll()
        if since == self._midnight:
            self._cost_usd, self._estimated = cost_usd, estimated

    def _roll(self) -> None:
        if (midnight := self._last_midnight()) != self._midnight:
            self._midnight, self._cost_usd, self._estimated = midnight, Decimal(0), 0

    def _last_midnight(self) -> datetime.datetime:
        return datetime.datetime.combine(self._now().date(), datetime.time()).astimezone()

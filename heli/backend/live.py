"""The live hub: what happens to calls right now, told to whoever listens. Best effort, in memory, bounded.

It belongs to the event loop of its process: every method is called there. Looking into a call in flight is
the only costly step, and is done in a thread, for at most `MAX_PEEKS` calls four times a second, and only
while somebody listens.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import msgspec

from heli.backend.gateways import HeardGateways
from heli.backend.live_calls import CallInFlight, CallsInFlight
from heli.backend.live_filter import NOTHING, Known, find_known
from heli.backend.spent_today import SpentToday
from heli.schema.exchange import Exchange, Record
from heli.schema.live import LiveCall, LiveEvent, LiveKind, LiveTotals
from heli.schema.request import Request

TICK_S = 0.25
"""A call's progress is told at most this often."""
SWEEP_S = 15.0
MAX_PEEKS = 200
MAX_WAITING = 2_000
"""Events that wait for a subscriber; a slower one loses the oldest."""

type Look = Callable[[Exchange, LiveCall], LiveCall]
"""What can be told of a call in flight, given what was told before. Runs in a thread; must not raise."""

type Choose = Callable[[LiveEvent, Known], LiveEvent | None]
"""What a subscriber is told in place of an event, given what is known of its call; `None` for nothing."""


class Subscription:
    """One listener's queue. Iterating it ends when the hub closes."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._waiting: deque[LiveEvent] = deque(maxlen=MAX_WAITING)
        self._news = asyncio.Event()
        self._is_closed = False
        self.dropped = 0
        """Events that this listener was too slow for."""

    def offer(self, event: LiveEvent, known: Known = NOTHING) -> None:
        chosen = self._choose(event, known)
        if chosen is None:
            return
        self.dropped += len(self._waiting) == MAX_WAITING
        self._waiting.append(chosen)
        self._news.set()

    def close(self) -> None:
        self._is_closed = True
        self._news.set()

    async def batch(self, timeout_s: float) -> list[LiveEvent] | None:
        """Everything that waits, or nothing after `timeout_s`; `None` once the hub has closed."""
        if not self._waiting and not self._is_closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), timeout_s)
        self._news.clear()
        if self._is_closed:
            return None
        events = list(self._waiting)
        self._waiting.clear()
        return events


class LiveHub:
    """Takes in records in flight and finished requests; gives out events."""

    def __init__(self, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._calls = CallsInFlight()
        self._subscriptions: set[Subscription] = set()
        self._news = asyncio.Event()
        self._is_closed = False
        self.spent = SpentToday()
        self.gateways = HeardGateways(clock)
        self.on_stored: list[Callable[[Sequence[Request]], None]] = [self.spent.add]
        """Told of requests that were just stored, each for the first time."""

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    @property
    def in_flight(self) -> int:
        return len(self._calls)

    def in_flight_of(self, session_id: str) -> int:
        return self._calls.count_in(session_id)

    def totals(self) -> LiveTotals:
        totals = LiveTotals(
            in_flight=self.in_flight,
            today_cost_usd=self.spent.cost_usd,
            today_estimated_cost_requests=self.spent.estimated_cost_requests,
            gateways=len(self.gateways),
        )
        if not totals.gateways:
            return totals
        workers = self.gateways.workers()
        return msgspec.structs.replace(
            totals,
            spool_records=sum(worker.records for worker in workers),
            spool_lag_s=max((w.oldest_s for w in workers if w.oldest_s is not None), default=None),
            dropped_records=sum(worker.dropped_records for worker in workers),
            dead_letters=sum(worker.dead_letters for worker in workers),
        )

    def consume(self, records: Sequence[Record]) -> None:
        """Records of calls in flight, in the order of the wire."""
        self._calls.consume(records, self._clock())
        self._news.set()

    def finish(self, requests: Sequence[Request]) -> None:
        """Requests that were just stored, each for the first time."""
        for tell in self.on_stored:
            tell(requests)
        self._calls.remove(request.id.bytes for request in requests)
        if self._subscriptions:
            for request in requests:
                self._publish(LiveEvent(kind=LiveKind.FINISHED, request=request))

    @contextlib.contextmanager
    def subscribe(self, choose: Choose = lambda event, known: event) -> Iterator[Subscription]:
        """Listen, beginning with the calls that are in flight now."""
        subscription = Subscription(choose)
        if self._is_closed:
            subscription.close()
        for call in self._calls.announced():
            subscription.offer(LiveEvent(kind=LiveKind.STARTED, call=call.told), call.known)
        self._subscriptions.add(subscription)
        self._news.set()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End all subscriptions, so that the process can drain."""
        self._is_closed = True
        for subscription in self._subscriptions:
            subscription.close()

    async def tell_progress(self) -> None:
        """Look at calls that changed and tell about them; one round."""
        calls = self._calls.changed(MAX_PEEKS)
        if len(calls) == MAX_PEEKS:
            self._news.set()
        seen = [(call, call.so_far()) for call in calls]
        for call, told, known in await asyncio.to_thread(self._look_at, seen):
            if call.exchange.id not in self._calls or call.is_closed:
                continue
            if not call.is_announced or told != call.told:
                kind = LiveKind.STREAMING if call.is_announced else LiveKind.STARTED
                call.told, call.known, call.is_announced = told, known, True
                self._publish(LiveEvent(kind=kind, call=told), known)

    def _look_at(
        self, seen: list[tuple[CallInFlight, Exchange]]
    ) -> list[tuple[CallInFlight, LiveCall, Known]]:
        found = []
        for call, exchange in seen:
            told = self._look(exchange, call.told)
            found.append((call, told, find_known(exchange, told, call.known)))
        return found

    def expire(self) -> None:
        """Give up silent calls."""
        for call in self._calls.expire(self._clock()):
            if call.is_announced:
                self._publish(LiveEvent(kind=LiveKind.LEFT, call=call.told), call.known)

    def _publish(self, event: LiveEvent, known: Known = NOTHING) -> None:
        for subscription in self._subscriptions:
            subscription.offer(event, known)

    async def run(self) -> None:
        """Until cancelled: tell about progress, give up silent calls."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), SWEEP_S)
            self._news.clear()
            self.expire()
            if self._subscriptions:
                await self.tell_progress()
                await asyncio.sleep(TICK_S)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            self.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

"""The gateways that were heard of lately, and what waits in their spools. In memory: they tell again soon."""

import time
from collections.abc import Callable

import msgspec

from heli.schema.errors import UsageError
from heli.schema.heartbeat import Gateways, GatewaySpool, Heartbeat, WorkerSpool

SILENCE_S = 10.0
"""Five heartbeats missed: nobody knows any more what waits there."""
MOST_GATEWAYS = 1_000

_decoder = msgspec.json.Decoder(Heartbeat)


class HeardGateways:
    """By their ids. Belongs to the event loop of its process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[str, tuple[float, Heartbeat]] = {}

    def hear(self, body: bytes) -> None:
        """A heartbeat as it came. Raises `UsageError` when it is none."""
        try:
            beat = _decoder.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise UsageError(f"the heartbeat does not parse: {error}") from error
        self._forget_the_silent()
        if len(self._heard) < MOST_GATEWAYS or beat.gateway in self._heard:
            self._heard[beat.gateway] = (self._clock(), beat)

    def told(self) -> Gateways:
        """All of them, by host."""
        self._forget_the_silent()
        now = self._clock()
        found = [
            GatewaySpool(
                gateway=beat.gateway,
                host=beat.host,
                heard_s_ago=round(now - heard_at, 1),
                workers=beat.workers,
            )
            for heard_at, beat in self._heard.values()
        ]
        return Gateways(gateways=sorted(found, key=lambda each: (each.host, each.gateway)))

    def workers(self) -> list[WorkerSpool]:
        """The workers of all of them."""
        self._forget_the_silent()
        return [worker for _, beat in self._heard.values() for worker in beat.workers]

    def __len__(self) -> int:
        self._forget_the_silent()
        return len(self._heard)

    def _forget_the_silent(self) -> None:
        oldest = self._clock() - SILENCE_S
        self._heard = {id: told for id, told in self._heard.items() if told[0] >= oldest}

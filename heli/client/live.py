"""The live feed as records; it connects again by itself, and says when it was away."""

import random
import threading
from collections.abc import Iterator

import msgspec

from heli.client.api import Client
from heli.client.event_lines import read_events
from heli.schema.errors import HeliError, UnreachableError
from heli.schema.live import LiveEvent, LiveTotals

SILENCE_S = 45.0
"""Three keep-alives missed: the connection is gone, whatever TCP thinks."""
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 5.0


class Connected(msgspec.Struct, frozen=True):
    """The feed flows from here on; calls in flight are told again. What came before has to be asked for."""


class Disconnected(msgspec.Struct, frozen=True):
    """The feed broke, or the backend is not there yet."""

    reason: str
    retry_s: float


type FeedItem = LiveEvent | LiveTotals | Connected | Disconnected


class LiveFeed:
    """Follows `GET /v1/live` until `close`, which may be called by another thread."""

    def __init__(
        self, client: Client, filter: str = "", silence_s: float = SILENCE_S, side_calls: bool = True
    ) -> None:
        self._client = client
        self._filter = filter
        self._silence_s = silence_s
        self._side_calls = side_calls
        self._closed = threading.Event()

    def follow(self) -> Iterator[FeedItem]:
        """Everything that is told, with the connections between. Raises what trying again does not mend."""
        delay_s = FIRST_DELAY_S
        while not self._closed.is_set():
            reason = "the backend ended it"
            try:
                for item in self._read_once():
                    delay_s = FIRST_DELAY_S
                    yield item
            except UnreachableError as error:
                reason = error.message
            if self._closed.is_set():
                return
            wait_s = delay_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
            yield Disconnected(reason, wait_s)
            self._closed.wait(wait_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)

    def close(self) -> None:
        self._closed.set()

    def _read_once(self) -> Iterator[FeedItem]:
        lines = self._client.stream_live(self._filter, self._silence_s, self._side_calls)
        next(lines)
        yield Connected()
        for name, data in read_events(lines):
            if self._closed.is_set():
                return
            item = _decode(name, data)
            if item is not None:
                yield item


def _decode(name: str, data: str) -> LiveEvent | LiveTotals | None:
    """The record of an event; `None` for events of a newer backend."""
    try:
        if name == "totals":
            return msgspec.json.decode(data, type=LiveTotals)
        if name in ("started", "streaming", "finished", "left"):
            return msgspec.json.decode(data, type=LiveEvent)
    except msgspec.DecodeError as error:
        raise HeliError(
            f"the live feed's event {name!r} cannot be read: {error}",
            "are backend and command of the same version?",
        ) from error
    return None

"""Following calls: the live feed with its gaps filled from the list, so that every call is shown once."""

import datetime
import queue
import threading
import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from heli.cli import figures
from heli.client import Client, Connected, Disconnected, LiveFeed
from heli.schema.errors import UnreachableError
from heli.schema.live import LiveCall, LiveEvent, LiveKind, LiveTotals
from heli.schema.request import Request

if TYPE_CHECKING:
    from heli.client.live import FeedItem

REMEMBERED = 20_000
"""Ids of calls that were shown; the feed and the list overlap by seconds, not by more calls than this."""
OVERLAP = datetime.timedelta(seconds=2)
"""How long a call may need from its end to the list."""
LONGEST = datetime.timedelta(minutes=10)
"""Calls that began so long before a gap are looked for after it; those in flight, however long."""
MOST = 5_000
TICK_S = 0.1


class TailScreen(Protocol):
    """Where calls are shown."""

    def settle(self, requests: Iterable[Request]) -> None:
        """Calls that ended, in the order in which they are to stand."""

    def draw(self, running: list[LiveCall], totals: LiveTotals | None, trouble: str) -> None:
        """The calls in flight as they are now; `trouble` says why there is no news."""

    def note(self, text: str) -> None:
        """Something about the feed itself."""

    def close(self) -> None: ...


class Tail:
    """What is known while following: calls shown, calls in flight, totals, and since when we are blind."""

    def __init__(self, client: Client, filter: str, screen: TailScreen, side_calls: bool = True) -> None:
        self._client = client
        self._filter = filter
        self._screen = screen
        self._side_calls = side_calls
        self._shown: dict[uuid.UUID, None] = {}
        self._running: dict[uuid.UUID, LiveCall] = {}
        self._totals: LiveTotals | None = None
        self._trouble = ""
        self._blind_since: datetime.datetime | None = None
        self._was_connected = False

    def follow(self, since: datetime.datetime | None, limit: int) -> int:
        """Show the last calls, then all that come. Raises when the backend is not there at the start."""
        self._blind_since = _now()
        try:
            if limit:
                last = self._every(since, limit)
                self._settle(reversed(list(last)))
            self._draw()
            for items in self._batches():
                for item in items:
                    self._take(item)
                self._draw()
        finally:
            self._screen.close()
        return 0

    def _every(self, since: datetime.datetime | None, limit: int) -> Iterator[Request]:
        return self._client.every_request(self._filter, since=since, limit=limit, side_calls=self._side_calls)

    def _batches(self) -> Iterator[list["FeedItem"]]:
        """What came since the last look; empty lists while clocks must run."""
        news: queue.SimpleQueue[FeedItem | BaseException] = queue.SimpleQueue()
        feed = LiveFeed(self._client, self._filter, side_calls=self._side_calls)
        threading.Thread(target=_read, args=(feed, news), name="live feed", daemon=True).start()
        try:
            while True:
                yield _drain(news, TICK_S if self._running else 1.0)
        finally:
            feed.close()

    def _take(self, item: "FeedItem") -> None:
        match item:
            case Connected():
                self._connect()
            case Disconnected(reason=reason):
                self._lose(reason)
            case LiveTotals():
                self._totals = item
            case LiveEvent(request=Request() as request):
                self._settle([request])
            case LiveEvent(kind=LiveKind.LEFT, call=LiveCall() as call):
                self._running.pop(call.id, None)
            case LiveEvent(call=LiveCall() as call) if call.id not in self._shown:
                self._running[call.id] = call

    def _connect(self) -> None:
        """Calls in flight are told again now; those that ended meanwhile are in the list."""
        self._trouble = ""
        before, blind_since = self._running, self._blind_since or _now()
        self._running = {}
        try:
            missed = list(self._find_missed(before.values(), blind_since))
        except UnreachableError as error:
            self._trouble = error.message
            return
        self._blind_since = None
        self._settle(missed)
        if self._was_connected:
            self._screen.note(f"connected again; {figures.counted(len(missed), 'call')} ended meanwhile")
        self._was_connected = True

    def _find_missed(self, running: Iterable[LiveCall], blind_since: datetime.datetime) -> Iterator[Request]:
        since = min([blind_since - LONGEST, *(call.created_at for call in running)])
        found = self._every(since, MOST)
        for request in sorted(found, key=lambda request: request.ended_at or request.created_at):
            ended = request.ended_at or request.created_at
            if ended >= blind_since - OVERLAP and request.id not in self._shown:
                yield request

    def _lose(self, reason: str) -> None:
        if self._blind_since is None:
            self._blind_since = _now()
            self._screen.note(f"{reason}; trying again")
        self._trouble = reason

    def _settle(self, requests: Iterable[Request]) -> None:
        new = [request for request in requests if request.id not in self._shown]
        for request in new:
            self._shown[request.id] = None
            self._running.pop(request.id, None)
        while len(self._shown) > REMEMBERED:
            del self._shown[next(iter(self._shown))]
        if new:
            self._screen.settle(new)

    def _draw(self) -> None:
        running = sorted(self._running.values(), key=lambda call: call.created_at)
        self._screen.draw(running, self._totals, self._trouble)


def _read(feed: LiveFeed, news: "queue.SimpleQueue[FeedItem | BaseException]") -> None:
    try:
        for item in feed.follow():
            news.put(item)
    except Exception as error:  # noqa: BLE001 - raised again where it is waited for
        news.put(error)


def _drain(news: "queue.SimpleQueue[FeedItem | BaseException]", timeout_s: float) -> list["FeedItem"]:
    items: list[FeedItem] = []
    try:
        item = news.get(timeout=timeout_s)
        while True:
            if isinstance(item, BaseException):
                raise item
            items.append(item)
            item = news.get_nowait()
    except queue.Empty:
        return items


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)

"""What single sessions have cost so far: what the log told once, and what was stored since.

Only sessions that somebody asks for are kept, because a status line asks again and again for the same
few. Belongs to the event loop of its process.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from heli.backend.queries.costs import Spend, add_spends, spend_of
from heli.schema.errors import HeliError
from heli.schema.request import Request

MAX_SESSIONS = 256
FRESH_S = 300.0
"""After this long the log is asked again: its rows may have been priced anew."""
RETRY_S = 2.0
"""How long a question that failed is not asked again."""

type AskLog = Callable[[str], Awaitable[Spend]]
"""All that the log knows of a session, just as it is between two batches. May raise `HeliError`."""


class _Watched:
    """One session. `spend` is unknown until the log has answered."""

    def __init__(self) -> None:
        self.spend: Spend | None = None
        self.asked_at = float("-inf")
        self.question: asyncio.Task[None] | None = None


class SessionSpend:
    """Running sums of the sessions that were asked for last."""

    def __init__(self, ask_log: AskLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask_log = ask_log
        self._clock = clock
        self._watched: OrderedDict[str, _Watched] = OrderedDict()

    def add(self, requests: Sequence[Request]) -> None:
        """Requests that were just stored, each for the first time."""
        for request in requests:
            watched = self._watched.get(request.session_id)
            if watched and watched.spend is not None:
                watched.spend = add_spends([watched.spend, spend_of(request)])

    async def find(self, session_id: str, patience_s: float) -> Spend | None:
        """The sum; `None` when the log has not answered within the time. The next question finds it then."""
        watched = self._watch(session_id)
        if self._clock() - watched.asked_at > (RETRY_S if watched.spend is None else FRESH_S):
            watched.asked_at = self._clock()
            watched.question = asyncio.create_task(self._learn(session_id, watched))
        if watched.spend is None and watched.question is not None:
            await asyncio.wait([watched.question], timeout=patience_s)
        return watched.spend

    def close(self) -> None:
        for watched in self._watched.values():
            if watched.question is not None:
                watched.question.cancel()

    def _watch(self, session_id: str) -> _Watched:
        watched = self._watched.setdefault(session_id, _Watched())
        self._watched.move_to_end(session_id)
        while len(self._watched) > MAX_SESSIONS:
            _, left = self._watched.popitem(last=False)
            if left.question is not None:
                left.question.cancel()
        return watched

    async def _learn(self, session_id: str, watched: _Watched) -> None:
        """What was added meanwhile is in the answer too, as both come from between two batches."""
        try:
            watched.spend = await self._ask_log(session_id)
        except HeliError:
            return

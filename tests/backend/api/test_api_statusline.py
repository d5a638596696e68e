"""What a status line shows: running sums that agree with the log, whenever a session is first asked for."""

import asyncio
import time
from decimal import Decimal
from typing import Any

from heli.backend.queries.costs import Spend
from heli.backend.session_spend import FRESH_S, MAX_SESSIONS, SessionSpend
from heli.schema.errors import UnreachableError
from heli.schema.exchange import Opened, Outcome
from tests.backend.backend_builders import a_question, an_answer, an_exchange
from tests.backend.conftest import RunningBackend
from tests.backend.stores.running_store import a_request

PATIENCE_S = 10.0


def in_session(session_id: str, **fields: Any) -> Any:
    return an_exchange(headers=[(b"Helicone-Session-Id", session_id.encode())], **fields)


def session_line(backend: RunningBackend, session_id: str) -> dict[str, Any]:
    """As soon as it is known."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        (line,) = backend.get("/v1/statusline", session=session_id)["sessions"]
        if line["spend"] is not None:
            found: dict[str, Any] = line
            return found
        assert time.monotonic() < deadline


def test_a_session_is_summed_from_the_log_and_then_as_calls_are_stored(backend: RunningBackend) -> None:
    backend.send(in_session("fix", response_body=an_answer(tokens=(1000, 100))), in_session("other"))

    before = session_line(backend, "fix")["spend"]
    unpriced = {
        "request_body": a_question(model="nobody-knows"),
        "response_body": an_answer(model="nobody-knows", tokens=(7, 1)),
    }
    backend.send(in_session("fix", response_body=an_answer(tokens=(10, 1))), in_session("fix", **unpriced))
    after = session_line(backend, "fix")["spend"]

    assert (before["requests"], before["input_tokens"], before["cost_usd"]) == (1, 1000, 0.00021)
    assert (after["requests"], after["unknown_cost_requests"]) == (3, 1)
    assert (after["input_tokens"], after["output_tokens"]) == (1017, 102)
    assert after == backend.get("/v1/costs", filter="session:fix")["total"]


def test_a_session_without_calls_costs_nothing_that_is_known(backend: RunningBackend) -> None:
    spend = session_line(backend, "nobody")["spend"]
    assert (spend["requests"], spend["cost_usd"]) == (0, None)


def test_calls_in_flight_are_counted_by_session(backend: RunningBackend) -> None:
    flying = [
        in_session(name, outcome=Outcome.INTERRUPTED, response_body=b"", end_us=None)
        for name in ("a", "a", "b")
    ]
    backend.parts.hub.consume([Opened(exchange=exchange) for exchange in flying])

    answer = backend.get("/v1/statusline", session=["a", "b", "c"])

    assert answer["in_flight"] == 3
    assert [line["in_flight"] for line in answer["sessions"]] == [2, 1, 0]


def test_today_is_what_today_cost(backend: RunningBackend) -> None:
    assert backend.get("/v1/statusline") == {
        "in_flight": 0,
        "today_cost_usd": 0,
        "today_estimated_cost_requests": 0,
        "sessions": [],
    }


def test_too_many_sessions_are_refused(backend: RunningBackend) -> None:
    backend.get("/v1/statusline", status=422, session=[str(number) for number in range(9)])


NONE = Spend(
    requests=0,
    cost_usd=None,
    unknown_cost_requests=0,
    estimated_cost_requests=0,
    input_tokens=None,
    cache_read_tokens=None,
    cache_write_tokens=None,
    output_tokens=None,
    reasoning_tokens=None,
)


class Log:
    """Answers when it is let; `answers` may hold errors."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[Spend | Exception] = []
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, session_id: str) -> Spend:
        self.asked.append(session_id)
        self.was_asked.set()
        await self.may_answer.wait()
        answer = self.answers.pop(0) if self.answers else NONE
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_slow_log_is_not_waited_for_and_found_later() -> None:
    async def scenario() -> None:
        log = Log()
        log.may_answer.clear()
        sums = SessionSpend(log.ask)
        assert await sums.find("s", 0.0) is None
        assert await sums.find("s", 0.0) is None
        log.may_answer.set()
        assert await sums.find("s", PATIENCE_S) == NONE
        assert log.asked == ["s"]

    asyncio.run(scenario())


def test_the_log_is_asked_again_after_a_while_and_after_an_error() -> None:
    now = 0.0

    async def scenario() -> None:
        nonlocal now
        log = Log()
        log.answers = [UnreachableError("the store is away")]
        sums = SessionSpend(log.ask, lambda: now)
        assert await sums.find("s", PATIENCE_S) is None
        assert await sums.find("s", PATIENCE_S) is None
        now += 3
        assert await sums.find("s", PATIENCE_S) == NONE
        sums.add([a_request(session_id="s", cost_usd=Decimal("0.5")), a_request(session_id="t")])
        told = await sums.find("s", PATIENCE_S)
        assert told is not None
        assert (told.requests, told.cost_usd) == (1, Decimal("0.5"))
        now += FRESH_S + 1
        log.was_asked.clear()
        assert await sums.find("s", PATIENCE_S) == told
        await asyncio.wait_for(log.was_asked.wait(), PATIENCE_S)
        assert log.asked == ["s", "s", "s"]
        sums.close()

    asyncio.run(scenario())


def test_only_so_many_sessions_are_kept() -> None:
    async def scenario() -> None:
        log = Log()
        sums = SessionSpend(log.ask)
        for number in range(MAX_SESSIONS + 1):
            await sums.find(str(number), PATIENCE_S)
        await sums.find(str(MAX_SESSIONS), PATIENCE_S)
        assert len(log.asked) == MAX_SESSIONS + 1
        await sums.find("0", PATIENCE_S)
        assert len(log.asked) == MAX_SESSIONS + 2

    asyncio.run(scenario())

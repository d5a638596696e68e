"""The live hub: events in order, each once, within bounds; a slow listener harms nobody."""

import asyncio
import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from heli.backend import app, live, live_calls
from heli.backend.live import LiveHub, Subscription
from heli.backend.live_calls import CallsInFlight
from heli.backend.live_filter import Known
from heli.backend.spent_today import SpentToday, machine_time
from heli.schema.exchange import Closed, Direction, Exchange, Grown, Opened, Outcome
from heli.schema.live import LiveCall, LiveEvent, LiveKind
from heli.schema.request import Request
from heli.schema.usage import CostState
from tests.backend.backend_builders import an_answer, an_exchange
from tests.backend.stores.running_store import a_request


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def look(exchange: Exchange, told: LiveCall) -> LiveCall:
    return msgspec.structs.replace(told, preview=exchange.response_body.decode(), model="m")


def opened(**fields: Any) -> Opened:
    return Opened(exchange=an_exchange(outcome=Outcome.INTERRUPTED, response_body=b"", end_us=None, **fields))


def grown(record: Opened, data: bytes) -> Grown:
    return Grown(id=record.exchange.id, direction=Direction.RESPONSE, data=data, chunks=[])


def finished(record: Opened, **fields: Any) -> Request:
    return a_request(id=record.exchange.request_id, created_at=datetime.datetime.now(datetime.UTC), **fields)


async def told(subscription: Subscription) -> list[tuple[LiveKind, str]]:
    events = await subscription.batch(0.0) or []
    return [(event.kind, event.call.preview if event.call else "") for event in events]


def run(scenario: Callable[[LiveHub], Any]) -> None:
    async def within_a_loop() -> None:
        await scenario(LiveHub(look, Clock()))

    asyncio.run(within_a_loop())


def test_a_call_starts_streams_and_finishes_once() -> None:
    async def scenario(hub: LiveHub) -> None:
        record = opened()
        with hub.subscribe() as listener:
            hub.consume([record])
            await hub.tell_progress()
            hub.consume([grown(record, b"Hel")])
            hub.consume([grown(record, b"lo")])
            await hub.tell_progress()
            await hub.tell_progress()
            assert hub.in_flight == 1
            hub.consume([Closed(exchange=record.exchange)])
            assert hub.in_flight == 0
            hub.finish([finished(record)])
            await hub.tell_progress()

            assert await told(listener) == [
                (LiveKind.STARTED, ""),
                (LiveKind.STREAMING, "Hello"),
                (LiveKind.FINISHED, ""),
            ]

    run(scenario)


def test_a_call_that_ends_before_it_was_told_only_finishes() -> None:
    async def scenario(hub: LiveHub) -> None:
        record = opened()
        with hub.subscribe() as listener:
            hub.consume([record])
            hub.finish([finished(record)])
            await hub.tell_progress()
            assert [kind for kind, _ in await told(listener)] == [LiveKind.FINISHED]

    run(scenario)


def test_a_newcomer_is_told_what_is_in_flight() -> None:
    async def scenario(hub: LiveHub) -> None:
        record = opened()
        with hub.subscribe():
            hub.consume([record])
            await hub.tell_progress()
            hub.consume([grown(record, b"Hi")])
            await hub.tell_progress()
            with hub.subscribe() as newcomer:
                assert await told(newcomer) == [(LiveKind.STARTED, "Hi")]

    run(scenario)


def test_a_slow_listener_loses_the_oldest_and_blocks_nobody() -> None:
    async def scenario(hub: LiveHub) -> None:
        requests = [a_request() for _ in range(live.MAX_WAITING + 10)]
        with hub.subscribe() as slow, hub.subscribe() as quick:
            hub.finish(requests[:5])
            assert len(await quick.batch(0.0) or []) == 5
            hub.finish(requests[5:])

            events = await slow.batch(0.0) or []
            assert [event.request for event in events] == requests[10:]
            assert slow.dropped == 10
            assert quick.dropped == 5

    run(scenario)


def test_closing_ends_every_listener() -> None:
    async def scenario(hub: LiveHub) -> None:
        with hub.subscribe() as listener:
            waiting = asyncio.create_task(listener.batch(60.0))
            await asyncio.sleep(0)
            hub.close()
            assert await waiting is None
        with hub.subscribe() as late:
            assert await late.batch(60.0) is None

    run(scenario)


def test_a_silent_call_expires() -> None:
    calls = CallsInFlight()
    record = opened()
    calls.consume([record], 0.0)
    calls.consume([grown(record, b"x")], 800.0)

    calls.expire(1000.0)
    assert len(calls) == 1
    calls.expire(1700.1)

    assert (len(calls), calls.kept_bytes) == (0, 0)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_calls, "MAX_BYTES", 3_000)
    monkeypatch.setattr(live_calls, "MAX_CALL_BYTES", 1_000)
    monkeypatch.setattr(live_calls, "MAX_CALLS", 5)
    calls = CallsInFlight()
    records = [opened(request_body=b"") for _ in range(8)]

    for record in records:
        calls.consume([record, *(grown(record, b"x" * 600) for _ in range(3))], 0.0)

    assert len(calls) == 5
    assert calls.kept_bytes <= 3_000
    calls.remove([record.exchange.id for record in records])
    assert calls.kept_bytes == 0


def test_records_of_unknown_calls_are_passed_over() -> None:
    calls = CallsInFlight()

    calls.consume([grown(opened(), b"x"), Closed(exchange=an_exchange())], 0.0)

    assert len(calls) == 0


def test_the_head_of_the_reply_becomes_known() -> None:
    calls = CallsInFlight()
    record = opened(response_status=None)
    calls.consume([record], 0.0)
    head = msgspec.structs.replace(
        grown(record, b""), response_status=418, response_headers=[(b"a", b"b")], first_byte_us=7
    )
    calls.consume([head], 0.0)

    (call,) = calls.changed(10)

    assert (call.so_far().response_status, call.so_far().first_byte_us) == (418, 7)


class Now:
    def __init__(self) -> None:
        self.at = machine_time().replace(hour=12)

    def __call__(self) -> datetime.datetime:
        return self.at


def test_todays_cost_is_exact_and_ends_at_midnight() -> None:
    now = Now()
    spent = SpentToday(now)
    dust, fortune = Decimal("0.000000000000000001"), Decimal("123456789012345")
    today = [a_request(created_at=now.at, cost_usd=cost) for cost in (dust, fortune, None)]

    spent.add([*today, a_request(created_at=now.at - datetime.timedelta(days=1), cost_usd=Decimal(5))])

    assert spent.cost_usd == Decimal("123456789012345.000000000000000001")
    now.at += datetime.timedelta(days=1)
    assert spent.cost_usd == 0


def test_estimates_in_todays_cost_are_counted_until_midnight() -> None:
    now = Now()
    spent = SpentToday(now)
    for state in (CostState.ESTIMATED, CostState.EXACT):
        spent.add([a_request(created_at=now.at, cost_usd=Decimal(1), cost_state=state)])

    assert spent.estimated_cost_requests == 1
    spent.correct(Decimal(7), spent.since, 3)
    assert spent.estimated_cost_requests == 3
    now.at += datetime.timedelta(days=1)
    assert spent.estimated_cost_requests == 0


def test_the_logs_sum_is_taken_over_on_its_own_day_only() -> None:
    now = Now()
    spent = SpentToday(now)
    yesterday = spent.since
    spent.add([a_request(created_at=now.at, cost_usd=Decimal(1))])

    spent.correct(Decimal(7), spent.since)
    assert spent.cost_usd == 7
    now.at += datetime.timedelta(days=1)
    spent.correct(Decimal(9), yesterday)

    assert spent.cost_usd == 0


@pytest.mark.parametrize(("omits", "preview"), [((), "Hi"), (("Request",), ""), (("Response",), "")])
def test_a_call_in_flight_is_told_as_far_as_its_caller_allows(omits: tuple[str, ...], preview: str) -> None:
    headers = [(b"Helicone-Session-Id", b"s"), (b"Helicone-Session-Path", b"/a")]
    exchange = an_exchange(
        headers=[*headers, *((f"Helicone-Omit-{side}".encode(), b"true") for side in omits)],
        response_body=an_answer("Hi"),
    )
    nothing = LiveCall(id=exchange.request_id, created_at=machine_time())

    call = app.look(exchange, nothing)

    assert (call.provider, call.model, call.status) == ("OPENAI", "gpt-4o-mini-2024-07-18", 200)
    assert (call.session_id, call.session_path, call.preview) == ("s", "/a", preview)


def test_a_finished_event_needs_no_listener() -> None:
    async def scenario(hub: LiveHub) -> None:
        hub.finish([a_request(id=uuid.uuid4())])
        with hub.subscribe() as listener:
            assert await listener.batch(0.0) == []

    run(scenario)


def test_events_are_offered_to_those_who_want_them() -> None:
    async def scenario(hub: LiveHub) -> None:
        def choose(event: LiveEvent, known: Known) -> LiveEvent | None:
            return event if event.kind is LiveKind.STARTED else None

        with hub.subscribe(choose) as listener:
            hub.finish([a_request()])
            assert await listener.batch(0.0) == []

    run(scenario)

"""Each exchange is stored once, whatever happens on the way, and to the last digit of its cost."""

import random
import uuid
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from heli.backend.ingest.pipeline import Pipeline
from heli.backend.queries.costs import spend_report
from heli.backend.queries.request_list import count_requests, list_requests
from heli.backend.queries.scope import Scope
from heli.backend.stores.packed_bodies import PackedBodyStore
from heli.backend.stores.request_log import LogRow, RequestLog
from heli.providers import PriceBook
from heli.schema.errors import UnreachableError
from heli.schema.exchange import Exchange, Outcome, decode_exchanges
from heli.schema.usage import CostState
from tests.backend.backend_builders import a_question, an_answer, an_exchange


def some_exchanges(count: int) -> list[Exchange]:
    return [an_exchange(response_body=an_answer(tokens=(n + 1, 2 * n + 1))) for n in range(count)]


def expected_cost(exchanges: Sequence[Exchange]) -> Decimal:
    """At gpt-4o-mini's 0.15 and 0.60 dollars for a million tokens."""
    total = Decimal(0)
    for exchange in exchanges:
        usage = msgspec.json.decode(exchange.response_body)["usage"]
        total += Decimal(usage["prompt_tokens"]) * Decimal("0.15") / 10**6
        total += Decimal(usage["completion_tokens"]) * Decimal("0.60") / 10**6
    return total


def test_a_batch_is_stored_with_its_bodies(
    pipeline: Pipeline, log: RequestLog, bodies: PackedBodyStore, scope: Scope
) -> None:
    exchange = an_exchange(headers=[(b"Helicone-User-Id", b"alice"), (b"helicone-property-Env", b"prod")])

    taken = pipeline.take([exchange])

    assert (taken.answer.stored, taken.answer.duplicates, taken.answer.rejected) == (1, 0, [])
    (request,) = list_requests(log, scope).requests
    assert request == taken.requests[0]
    assert (request.user_id, request.properties, request.model) == (
        "alice",
        {"env": "prod"},
        "gpt-4o-mini-2024-07-18",
    )
    assert decode_exchanges(bodies.get(request.body_ref)) == [exchange]


def test_the_same_batch_twice_is_stored_once(pipeline: Pipeline, log: RequestLog, scope: Scope) -> None:
    exchanges = some_exchanges(20)

    pipeline.take(exchanges)
    again = pipeline.take(exchanges)

    assert (again.answer.stored, again.answer.duplicates, again.requests) == (0, 20, [])
    assert count_requests(log, scope) == 20
    assert spend_report(log, scope, []).total.cost_usd == expected_cost(exchanges)


def test_an_id_twice_in_a_batch_is_stored_once(pipeline: Pipeline, log: RequestLog, scope: Scope) -> None:
    first, second = some_exchanges(2)

    answer = pipeline.take([first, second, first, first]).answer

    assert (answer.stored, answer.duplicates) == (2, 2)
    assert count_requests(log, scope) == 2


def named_alike(count: int) -> list[Exchange]:
    """Calls that a caller gave the same id."""
    id = uuid.uuid4()
    asked = [(b"Helicone-Request-Id", str(id).encode())]
    return [
        an_exchange(id=id.bytes, headers=asked, response_body=an_answer(tokens=(n + 1, 2 * n + 1)))
        for n in range(count)
    ]


def test_calls_that_two_workers_took_by_one_id_are_all_stored_and_counted(
    pipeline: Pipeline, log: RequestLog, scope: Scope
) -> None:
    calls = named_alike(3)

    answer = pipeline.take(calls).answer

    total = spend_report(log, scope, []).total
    ids = {request.id for request in list_requests(log, scope, 10).requests}
    assert (answer.stored, answer.duplicates) == (3, 0)
    assert (total.requests, total.cost_usd) == (3, expected_cost(calls))
    assert len(ids) == 3
    assert calls[0].request_id in ids


def test_calls_of_one_id_are_stored_once_in_whatever_batches_they_come(
    pipeline: Pipeline, log: RequestLog, scope: Scope
) -> None:
    calls = named_alike(4)
    order = random.Random(11)

    for _ in range(12):
        pipeline.take(order.sample(calls, order.randrange(1, 5)))
    pipeline.take(calls)

    total = spend_report(log, scope, []).total
    assert (total.requests, total.cost_usd) == (4, expected_cost(calls))


def test_a_call_of_an_id_that_the_log_has_from_long_ago_is_stored(
    pipeline: Pipeline, log: RequestLog, scope: Scope
) -> None:
    """Also though its batch holds the same ids as the one before."""
    first, second = named_alike(2)
    later = msgspec.structs.replace(second, started_ns=second.started_ns + 30 * 10**9)

    stored = [pipeline.take([each]).answer.stored for each in (first, later, first, later)]

    assert stored == [1, 1, 0, 0]
    assert count_requests(log, scope) == 2


def test_a_second_call_of_an_id_is_rejected_under_the_id_by_which_it_was_sent(pipeline: Pipeline) -> None:
    first, second = named_alike(2)
    bad = msgspec.structs.replace(second, request_body_bytes=-1)

    answer = pipeline.take([first, bad]).answer

    assert answer.stored == 1
    assert [each.id for each in answer.rejected] == [first.request_id]


def test_overlapping_batches_lose_and_double_nothing(
    pipeline: Pipeline, log: RequestLog, scope: Scope
) -> None:
    exchanges = some_exchanges(60)
    order = random.Random(7)

    for _ in range(12):
        start = order.randrange(50)
        pipeline.take(exchanges[start : start + order.randrange(1, 30)])
    pipeline.take(exchanges)

    total = spend_report(log, scope, []).total
    assert (total.requests, total.cost_usd) == (60, expected_cost(exchanges))


class LosingLog(RequestLog):
    """Stores every batch, and says that it did not."""

    def insert(self, rows: Sequence[LogRow], token: str) -> None:
        super().insert(rows, token)
        raise UnreachableError("the answer was lost")


def test_a_lost_answer_is_mended_by_sending_again(
    log: RequestLog, bodies: PackedBodyStore, prices: PriceBook, organisation: uuid.UUID, scope: Scope
) -> None:
    exchanges = some_exchanges(10)
    losing = Pipeline(LosingLog(log._server), bodies, prices, organisation)

    with pytest.raises(UnreachableError, match="the answer was lost"):
        losing.take(exchanges)
    again = Pipeline(log, bodies, prices, organisation).take(exchanges).answer

    assert (again.stored, again.duplicates) == (0, 10)
    assert spend_report(log, scope, []).total.cost_usd == expected_cost(exchanges)


class PickyLog(RequestLog):
    """Refuses some ids, as a column refuses a value."""

    poison: frozenset[uuid.UUID] = frozenset()
    inserts = 0

    def insert(self, rows: Sequence[LogRow], token: str) -> None:
        self.inserts += 1
        if any(row.request.id in self.poison for row in rows):
            raise OverflowError("int too big to convert")
        super().insert(rows, token)


def test_poison_is_isolated_and_reported(
    log: RequestLog, bodies: PackedBodyStore, prices: PriceBook, organisation: uuid.UUID, scope: Scope
) -> None:
    exchanges = some_exchanges(64)
    picky = PickyLog(log._server)
    picky.poison = frozenset({exchanges[5].request_id, exchanges[40].request_id})

    answer = Pipeline(picky, bodies, prices, organisation).take(exchanges).answer

    assert (answer.stored, answer.duplicates) == (62, 0)
    assert {rejected.id for rejected in answer.rejected} == picky.poison
    assert all("too big" in rejected.reason for rejected in answer.rejected)
    assert count_requests(log, scope) == 62
    assert picky.inserts <= 2 * 2 * 7


def test_a_value_that_no_column_takes_is_rejected_alone(
    pipeline: Pipeline, log: RequestLog, scope: Scope
) -> None:
    good, bad = some_exchanges(2)
    bad = msgspec.structs.replace(bad, request_body_bytes=-1)

    answer = pipeline.take([good, bad]).answer

    assert [rejected.id for rejected in answer.rejected] == [bad.request_id]
    assert count_requests(log, scope) == 1


@pytest.mark.parametrize("started_ns", [-1, 0, 2**62, -(2**62)])
def test_a_time_that_no_clock_shows_is_rejected(pipeline: Pipeline, started_ns: int) -> None:
    good, bad = an_exchange(), an_exchange(started_ns=started_ns)

    answer = pipeline.take([good, bad]).answer

    assert answer.stored == 1
    assert [(rejected.id, "2000 and 2100" in rejected.reason) for rejected in answer.rejected] == [
        (bad.request_id, True)
    ]


class BrokenLog(RequestLog):
    """Finds nothing, and has no table any more."""

    def insert(self, rows: Sequence[LogRow], token: str) -> None:
        self._server.query("SELECT 1 FROM no_such_table")


def test_a_log_in_trouble_is_no_reason_to_give_rows_up(
    log: RequestLog, bodies: PackedBodyStore, prices: PriceBook, organisation: uuid.UUID
) -> None:
    with pytest.raises(UnreachableError, match="takes nothing now"):
        Pipeline(BrokenLog(log._server), bodies, prices, organisation).take(some_exchanges(3))


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe\x00", b"[" * 5000, b'{"model": 3, "messages": "no"}', b""])
def test_what_cannot_be_interpreted_is_stored_all_the_same(
    pipeline: Pipeline, log: RequestLog, scope: Scope, body: bytes
) -> None:
    exchange = an_exchange(request_body=body, response_body=body)

    assert pipeline.take([exchange]).answer.stored == 1

    (request,) = list_requests(log, scope).requests
    assert request.id == exchange.request_id
    assert request.cost_usd is None or request.cost_state is not CostState.EXACT


def test_an_interrupted_call_has_no_end(pipeline: Pipeline, log: RequestLog, scope: Scope) -> None:
    pipeline.take(
        [an_exchange(outcome=Outcome.INTERRUPTED, response_status=None, response_body=b"", end_us=None)]
    )

    (request,) = list_requests(log, scope).requests
    assert (request.outcome, request.ended_at, request.duration_ms) == (Outcome.INTERRUPTED, None, None)


@pytest.mark.parametrize("side", ["request", "response"])
def test_an_omitted_body_leaves_no_trace_but_its_counts(
    pipeline: Pipeline, log: RequestLog, bodies: PackedBodyStore, scope: Scope, side: str
) -> None:
    secret = "xyzzy-the-secret"
    fields = (
        {"request_body": a_question(secret)} if side == "request" else {"response_body": an_answer(secret)}
    )
    exchange = an_exchange(headers=[(f"Helicone-Omit-{side}".encode(), b"true")], **fields)

    pipeline.take([exchange])

    (request,) = list_requests(log, scope).requests
    assert (request.bodies_omitted, request.usage.input_tokens, request.usage.output_tokens) == (side, 9, 3)
    row = log.select(
        "SELECT * FROM request_response_rmt WHERE request_id = {id:UUID}", {"id": str(request.id)}
    )
    assert secret not in str(row)
    assert secret.encode() not in bodies.get(request.body_ref)


def test_the_override_is_the_model_and_the_price(pipeline: Pipeline, log: RequestLog, scope: Scope) -> None:
    pipeline.take([an_exchange(headers=[(b"Helicone-Model-Override", b"gpt-4o")])])

    (request,) = list_requests(log, scope).requests
    assert (request.model, request.response_model) == ("gpt-4o", "gpt-4o-mini-2024-07-18")
    assert request.cost_usd == Decimal("2.5") * 9 / 10**6 + Decimal(10) * 3 / 10**6

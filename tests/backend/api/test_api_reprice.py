"""Pricing the log again: exact, each row once, and safe to break off anywhere."""

import datetime
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from heli.backend.queries.costs import spend_report
from heli.backend.repricing import Repricing
from heli.backend.stores.log_columns import LOG_ROW_COLUMNS
from heli.providers import PriceBook
from heli.providers.pricing.price_override import parse_overrides
from tests.backend.backend_builders import a_question, an_answer, an_exchange
from tests.backend.conftest import RunningBackend

DOUBLE = """
[[price]]
provider = "OPENAI"
model = "gpt-4o-mini*"
input = 0.30
output = 1.20
"""
PER_REQUEST = """
[[price]]
provider = "ANTHROPIC"
model = "*"
input = 1
output = 1
request = 0.5
"""
ONE_CALL = Decimal("0.00000315")
"""9 tokens at $0.15 and 3 at $0.60 a million."""


def repriced(backend: RunningBackend, **asked: Any) -> list[tuple[str, Any]]:
    response = backend.client.post("/v1/reprice", json=asked)
    assert response.status_code == 200, response.text
    blocks = [block.split("\n") for block in response.text.strip().split("\n\n")]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: "), parse_float=Decimal))
        for name, data in blocks
    ]


def done(backend: RunningBackend, **asked: Any) -> dict[str, Any]:
    name, report = repriced(backend, **asked)[-1]
    assert name == "done", report
    found: dict[str, Any] = report
    return found


def table(text: str = DOUBLE, name: str = "contract.toml") -> dict[str, str]:
    return {"name": name, "text": text}


def all_rows(backend: RunningBackend) -> list[dict[str, Any]]:
    columns = ", ".join(LOG_ROW_COLUMNS)
    scope = backend.parts.scope()
    return backend.parts.log.select(
        f"SELECT {columns} FROM request_response_rmt WHERE {scope.sql} ORDER BY request_id", scope.parameters
    )


def spent(backend: RunningBackend) -> tuple[int, Decimal | None]:
    total = spend_report(backend.parts.log, backend.parts.scope(), []).total
    return total.requests, total.cost_usd


def test_a_look_tells_and_changes_nothing(backend: RunningBackend) -> None:
    backend.send(an_exchange(), an_exchange(), an_exchange(response_body=an_answer(model="mystery-1")))
    before = all_rows(backend)

    report = done(backend, table=table())

    assert report["is_written"] is False
    assert report["rewritten_requests"] == 3
    by_model = {row["model"]: row for row in report["rows"]}
    assert by_model["gpt-4o-mini-2024-07-18"]["old_cost_usd"] == 2 * ONE_CALL
    assert by_model["gpt-4o-mini-2024-07-18"]["new_cost_usd"] == 4 * ONE_CALL
    # The request names gpt-4o-mini, which stands in for a model that nobody lists.
    assert by_model["mystery-1"]["new_cost_usd"] == 2 * ONE_CALL
    assert report["total"]["requests"] == 3
    assert all_rows(backend) == before


def test_the_same_prices_change_nothing(backend: RunningBackend) -> None:
    backend.send(an_exchange(), an_exchange(outcome="client_aborted"), an_exchange(response_status=429))

    report = done(backend, write=True)

    assert (report["rewritten_requests"], report["total"]["requests"]) == (0, 3)


def test_written_rows_tell_the_new_cost_and_where_it_comes_from(backend: RunningBackend) -> None:
    exchange = an_exchange(headers=[(b"Helicone-User-Id", b"alice"), (b"Helicone-Property-Env", b"ci")])
    backend.send(exchange)
    (before,) = all_rows(backend)

    done(backend, table=table(), date="2026-01-15", write=True)

    (after,) = all_rows(backend)
    changed = {name for name in LOG_ROW_COLUMNS if before[name] != after[name]}
    assert changed == {"cost_usd", "cost_parts", "price_source", "price_date", "updated_at"}
    shown = backend.get(f"/v1/requests/{UUID(bytes=exchange.id)}")
    assert (shown["cost_usd"], shown["cost_state"]) == (0.0000063, "exact")
    assert (shown["price_source"], shown["price_date"]) == ("table contract.toml", "2026-01-15")
    assert shown["cost_parts_usd"] == {"input_tokens": 0.0000027, "output_tokens": 0.0000036}


def test_running_it_again_changes_nothing(backend: RunningBackend) -> None:
    backend.send(*[an_exchange() for _ in range(5)])
    done(backend, table=table(), write=True)
    written = all_rows(backend)

    report = done(backend, table=table(), write=True)

    assert report["rewritten_requests"] == 0
    assert all_rows(backend) == written


def test_back_to_the_listed_prices(backend: RunningBackend) -> None:
    backend.send(*[an_exchange() for _ in range(5)])
    before = [row["cost_usd"] for row in all_rows(backend)]
    done(backend, table=table(), write=True)

    done(backend, write=True)

    assert [row["cost_usd"] for row in all_rows(backend)] == before
    assert spent(backend) == (5, 5 * ONE_CALL)


def test_the_filter_says_which_calls(backend: RunningBackend) -> None:
    backend.send(an_exchange(headers=[(b"Helicone-User-Id", b"alice")]), an_exchange())

    report = done(backend, filter="user:alice", table=table(), write=True)

    assert report["total"]["requests"] == 1
    assert spent(backend) == (2, 3 * ONE_CALL)


def test_each_sum_on_the_way_is_of_old_and_new_and_never_doubled(backend: RunningBackend) -> None:
    backend.send(*[an_exchange() for _ in range(450)])
    run = a_repricing(backend)
    sums = [spent(backend)]

    while (progress := run.step()) is not None:
        requests, cost = spent(backend)
        assert requests == 450
        assert cost == (450 + progress.written) * ONE_CALL
        sums.append((requests, cost))

    assert sums[-1] == (450, 900 * ONE_CALL)
    assert run.report().total.changed_requests == 450


def test_a_run_that_was_broken_off_is_gone_on_with(backend: RunningBackend) -> None:
    backend.send(*[an_exchange() for _ in range(450)])
    first = a_repricing(backend)
    written = 0
    while not written:
        progress = first.step()
        assert progress is not None
        written = progress.written
    assert 0 < written < 450

    report = done(backend, table=table(), write=True)

    assert report["rewritten_requests"] == 450 - written
    assert spent(backend) == (450, 900 * ONE_CALL)


def test_two_calls_of_one_id_are_each_priced(backend: RunningBackend) -> None:
    first = an_exchange()
    a_second_later = {"id": first.id, "started_ns": first.started_ns + 10**9}
    backend.send(first)
    backend.send(an_exchange(response_body=an_answer(tokens=(18, 6)), **a_second_later))
    assert spent(backend) == (2, 3 * ONE_CALL)

    report = done(backend, table=table(), write=True)

    assert (report["total"]["old_cost_usd"], report["total"]["new_cost_usd"]) == (3 * ONE_CALL, 6 * ONE_CALL)
    assert spent(backend) == (2, 6 * ONE_CALL)


def test_a_session_that_a_call_is_given_meanwhile_stays(backend: RunningBackend) -> None:
    asked = {"role": "user", "content": "Say hi"}
    answered = [asked, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "Again"}]
    backend.send(an_exchange())

    def as_the_second_turn_comes(work: Callable[[], None]) -> None:
        body = json.dumps({"model": "gpt-4o-mini", "messages": answered}).encode()
        backend.send(an_exchange(request_body=body, started_ns=_now_ns()))
        work()

    run = a_repricing(backend, between_batches=as_the_second_turn_comes)
    while run.step() is not None:
        pass

    rows = all_rows(backend)
    assert len({row["session_id"] for row in rows} - {""}) == 1
    assert [row["session_source"] for row in rows] == ["thread", "thread"]
    assert spent(backend) == (2, 3 * ONE_CALL)


def test_calls_that_come_meanwhile_are_left_alone(backend: RunningBackend) -> None:
    backend.send(*[an_exchange() for _ in range(3)])
    run = a_repricing(backend)
    run.step()
    backend.send(an_exchange(started_ns=_now_ns()))

    while run.step() is not None:
        pass

    assert run.report().total.requests == 3
    assert spent(backend) == (4, 7 * ONE_CALL)


def test_without_the_archived_bodies_the_stored_counts_are_priced(backend: RunningBackend) -> None:
    backend.send(
        an_exchange(headers=[(b"Helicone-Omit-Response", b"true"), (b"Helicone-Omit-Request", b"true")])
    )

    done(backend, table=table(), write=True)
    again = done(backend, table=table(), write=True)

    assert spent(backend) == (1, 2 * ONE_CALL)
    assert all_rows(backend)[0]["cost_state"] == "exact"
    assert again["rewritten_requests"] == 0


def test_without_the_archived_question_its_model_is_still_known(backend: RunningBackend) -> None:
    """Cohere's replies do not name the model."""
    said = {"role": "assistant", "content": [{"type": "text", "text": "Hi!"}]}
    usage = {"billed_units": {"input_tokens": 1000, "output_tokens": 1000}}
    reply = {"id": "c1", "finish_reason": "COMPLETE", "message": said, "usage": usage}
    backend.send(
        an_exchange(
            headers=[(b"Helicone-Omit-Request", b"true")],
            origin="https://api.cohere.com",
            path="/v2/chat",
            request_body=a_question(model="command-r-08-2024"),
            response_body=json.dumps(reply).encode(),
        )
    )
    before = all_rows(backend)
    assert before[0]["cost_state"] == "exact"

    done(backend, write=True)

    assert all_rows(backend) == before


def test_without_the_archived_bodies_each_model_still_has_its_own_price(backend: RunningBackend) -> None:
    usage = {"input_tokens": 100, "output_tokens": 10}
    steps = [{"type": "message", **usage}, {"type": "advisor_message", "model": "claude-opus-4-7", **usage}]
    reply = {"model": "claude-sonnet-4-5", "content": [], "stop_reason": "end_turn"}
    backend.send(
        an_exchange(
            headers=[(b"Helicone-Omit-Response", b"true")],
            origin="https://api.anthropic.com",
            path="/v1/messages",
            request_body=a_question(model="claude-sonnet-4-5"),
            response_body=json.dumps({**reply, "usage": {**usage, "iterations": steps}}).encode(),
        )
    )

    report = done(backend, write=True)

    assert report["rewritten_requests"] == 0
    assert spent(backend) == (1, Decimal("0.0012"))
    done(backend, table=table(PER_REQUEST), write=True)
    assert spent(backend) == (1, Decimal("0.50022"))


def test_an_estimate_stays_one_and_its_reason_does_not_grow(backend: RunningBackend) -> None:
    cut = b'data: {"choices":[{"index":0,"delta":{"content":"Two, three"}}]}\n\n'
    backend.send(
        an_exchange(
            headers=[(b"Helicone-Omit-Response", b"true")],
            request_body=a_question(stream=True),
            response_headers=[(b"Content-Type", b"text/event-stream")],
            response_body=cut,
        )
    )
    (before,) = all_rows(backend)

    for _ in range(2):
        total = done(backend, table=table(), write=True)["total"]

    assert (total["old_estimated_cost_requests"], total["new_estimated_cost_requests"]) == (1, 1)
    (after,) = all_rows(backend)
    assert (after["cost_state"], after["cost_reason"]) == ("estimated", before["cost_reason"])
    assert after["cost_usd"] == 2 * before["cost_usd"]


def test_free_calls_stay_free(backend: RunningBackend) -> None:
    refusal = b'{"error": {"message": "Incorrect API key provided", "type": "invalid_request_error"}}'
    backend.send(an_exchange(path="/v1/moderations"), an_exchange(response_status=401, response_body=refusal))

    assert done(backend, table=table(), write=True)["rewritten_requests"] == 0


def test_progress_is_told_on_the_way(backend: RunningBackend) -> None:
    backend.send(*[an_exchange() for _ in range(3)])

    events = repriced(backend, table=table(), write=True)

    assert events[0] == ("progress", {"requests": 3, "seen": 0, "changed": 0, "written": 0})
    assert events[-2] == ("progress", {"requests": 3, "seen": 3, "changed": 3, "written": 3})
    assert events[-1][0] == "done"


def test_one_at_a_time(backend: RunningBackend) -> None:
    with backend.parts.repricing:
        response = backend.client.post("/v1/reprice", json={})

    assert response.status_code == 409
    assert response.json()["error"]["code"] == "conflict"
    assert done(backend)["rewritten_requests"] == 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"filter": "cost>"}, "cost"),
        ({"since": "soon"}, "soon"),
        ({"date": "2026-13-01"}, "date"),
        ({"table": {"name": "x.toml", "text": "[[price]]"}}, "x.toml: price[1].provider must be a text"),
        ({"table": {"name": "x\n", "text": ""}}, "name"),
        ({"nothing": 1}, "nothing"),
    ],
)
def test_a_question_that_is_not_understood(
    backend: RunningBackend, asked: dict[str, Any], message: str
) -> None:
    response = backend.client.post("/v1/reprice", json=asked)

    assert response.status_code in (400, 422)
    assert message in response.json()["error"]["message"]
    assert not backend.parts.repricing.locked()


def a_repricing(backend: RunningBackend, **other: Any) -> Repricing:
    prices = PriceBook(parse_overrides(DOUBLE, "contract.toml", source="table contract.toml"))
    parts = backend.parts
    return Repricing(parts.log, parts.bodies, prices, parts.scope(), writes=True, **other)


def _now_ns() -> int:
    return int(datetime.datetime.now(datetime.UTC).timestamp() * 1e9)

"""What goes into the request log comes out again, once."""

import datetime
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from heli.backend.stores.errors import StoreError
from heli.backend.stores.request_log import REQUEST_COLUMNS, LogRow, RequestLog, request_from_row
from heli.schema.errors import DeniedError, UnreachableError
from heli.schema.exchange import Outcome
from heli.schema.request import Request
from heli.schema.usage import CostState, Usage
from tests.backend.stores.running_store import NOON, RunningStore, a_request, a_row, free_port, some_rows

TABLE = "request_response_rmt"


def requests_of(log: RequestLog, organisation: uuid.UUID) -> list[Request]:
    rows = log.select(
        f"SELECT {', '.join(REQUEST_COLUMNS)} FROM {TABLE}"
        " WHERE organization_id = {organisation:UUID} ORDER BY created_at",
        {"organisation": organisation},
    )
    return [request_from_row(row) for row in rows]


def totals_of(log: RequestLog, organisation: uuid.UUID) -> tuple[int, Decimal, int]:
    """`(count, sum of exact dollars, sum of Helicone's nanodollars)`."""
    (row,) = log.select(
        f"SELECT count() AS n, sum(cost_usd) AS usd, sum(cost) AS nano FROM {TABLE}"
        " WHERE organization_id = {organisation:UUID}",
        {"organisation": organisation},
    )
    return row["n"], row["usd"] or Decimal(0), row["nano"]


def span_of(rows: list[LogRow]) -> tuple[datetime.datetime, datetime.datetime]:
    times = [row.request.created_at for row in rows]
    return min(times), max(times)


FULL: dict[str, Any] = {
    "created_at": datetime.datetime(2026, 10, 25, 0, 59, 59, 999999, datetime.UTC),
    "ended_at": datetime.datetime(2026, 10, 25, 1, 0, 0, 1, datetime.UTC),
    "listener": "anthropic",
    "outcome": Outcome.UPSTREAM_ERROR,
    "provider": "ANTHROPIC",
    "operation": "chat",
    "origin": "https://api.anthropic.com",
    "path": "/v1/messages?beta=true",
    "method": "PUT",
    "model": "claude-sonnet-4-5",
    "request_model": "claude-sonnet-4-5",
    "response_model": "claude-sonnet-4-5-20250929",
    "status": 529,
    "is_streaming": True,
    "duration_ms": 0.1 + 0.2,
    "time_to_first_token_ms": 1e-3,
    "usage": Usage(
        input_tokens=1,
        cache_read_tokens=2,
        cache_write_5m_tokens=3,
        cache_write_1h_tokens=4,
        input_audio_tokens=5,
        input_image_tokens=6,
        output_tokens=7,
        reasoning_tokens=8,
        output_audio_tokens=9,
        server_tool_uses={"web_search": 2, "code_execution": 1},
        cache_read_audio_tokens=10,
        output_image_tokens=2**53 + 1,
    ),
    "provider_usage": '{"input_tokens": 1, "x": "ü\\u0000"}',
    "cost_state": CostState.ESTIMATED,
    "cost_usd": Decimal("12345678901.000000000000000001"),
    "cost_parts_usd": {"input_tokens": Decimal("0.1"), "output_tokens": Decimal("1E-18")},
    "cost_reason": "tokens counted",
    "price_source": "genai-prices 0.0.30",
    "price_date": datetime.date(2026, 2, 28),
    "finish_reason": "end_turn",
    "error_class": "overloaded",
    "error_message": "Overloaded\n\t'quoted' \\ \x00 done",
    "provider_request_id": "req_011",
    "service_tier": "priority",
    "rate_limits": {"anthropic-ratelimit-requests-remaining": "49"},
    "user_id": "алиса@example.org",
    "session_id": "0c9…",
    "session_name": "Plan a trip",
    "session_path": "/plan/flights",
    "properties": {"env": "prod", "": "empty name", "emoji 🎈": "it's \\ fine"},
    "request_preview": "Where to? 🎈",
    "response_preview": "Lisbon.",
    "request_bytes": 2**40,
    "response_bytes": 17,
    "chunk_count": 4096,
    "tool_calls": ["search", "search", "book"],
    "body_ref": "2026-10-25/0123456789ab/14",
    "interpret_error": "the stream broke off",
    "bodies_omitted": "request,response",
    "session_source": "agent",
    "agent_program": "claude-code",
    "agent_session_id": "0199f3a2",
    "agent_id": "a1b2c3",
    "parent_agent_id": "d4e5f6",
    "agent_name": "tests",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "span_id": "00f067aa0ba902b7",
}


def test_every_field_of_a_request_comes_back_as_it_was(log: RequestLog, organisation: uuid.UUID) -> None:
    full = a_request(organisation_id=organisation, **FULL)

    log.insert([a_row(full)], str(uuid.uuid4()))

    assert requests_of(log, organisation) == [full]


def test_full_covers_every_field_of_a_request_with_another_value_than_its_default() -> None:
    full = a_request(organisation_id=uuid.uuid4(), **FULL)
    plain = Request(
        id=uuid.uuid4(), created_at=NOON, listener="", outcome=Outcome.COMPLETE, provider="", operation="",
        origin="", path="",
    )  # fmt: skip

    same = [name for name in Request.__struct_fields__ if getattr(full, name) == getattr(plain, name)]

    assert same == []


def test_unknown_stays_unknown_and_zero_stays_zero(log: RequestLog, organisation: uuid.UUID) -> None:
    unknown = a_request(
        organisation_id=organisation, ended_at=None, status=None, usage=Usage(),
        cost_state=CostState.UNKNOWN, cost_usd=None,
    )  # fmt: skip
    zero = a_request(
        organisation_id=organisation, duration_ms=0.0, time_to_first_token_ms=0.0,
        usage=Usage(input_tokens=0, output_tokens=0), cost_state=CostState.FREE, cost_usd=Decimal(0),
    )  # fmt: skip

    log.insert([a_row(unknown), a_row(zero)], str(uuid.uuid4()))

    assert requests_of(log, organisation) == [unknown, zero]


def test_half_a_character_is_stored_as_a_question_mark(log: RequestLog, organisation: uuid.UUID) -> None:
    broken = a_request(
        organisation_id=organisation, user_id="\ud83d!", properties={"\udc00": "a\ud800b"},
        tool_calls=["\ud800"],
    )  # fmt: skip

    log.insert([a_row(broken), a_row(a_request(organisation_id=organisation))], str(uuid.uuid4()))

    first, _second = requests_of(log, organisation)
    assert (first.user_id, first.properties, first.tool_calls) == ("?!", {"?": "a?b"}, ["?"])


@pytest.mark.parametrize(
    "unfit", [{"status": 70_000}, {"chunk_count": -1}, {"usage": Usage(input_tokens=2**70)}]
)
def test_a_value_that_fits_no_column_is_refused_and_nothing_is_stored(
    log: RequestLog, organisation: uuid.UUID, unfit: dict[str, Any]
) -> None:
    rows = [a_row(a_request(organisation_id=organisation, **fields)) for fields in ({}, unfit, {})]

    with pytest.raises(StoreError, match="does not fit"):
        log.insert(rows, str(uuid.uuid4()))

    assert requests_of(log, organisation) == []


def test_money_comes_back_digit_for_digit(log: RequestLog, organisation: uuid.UUID) -> None:
    amounts = ["0.000000000000000001", "0.30", "100", "1E+3", "0.1234567890123456789"]
    rows = [a_row(a_request(organisation_id=organisation, cost_usd=Decimal(text))) for text in amounts]

    log.insert(rows, str(uuid.uuid4()))

    told = [str(request.cost_usd) for request in requests_of(log, organisation)]
    assert told == ["1E-18", "0.3", "100", "1000", "0.123456789012345679"]


def test_helicones_columns_say_what_they_say_in_helicone(log: RequestLog, organisation: uuid.UUID) -> None:
    request = a_request(organisation_id=organisation, **FULL | {"cost_usd": Decimal("0.0000123456")})
    log.insert(
        [a_row(request, request_body='{"a": 1}', response_body="x" * 70_000, scores={"good": 1})],
        str(uuid.uuid4()),
    )

    (row,) = log.select(
        f"SELECT * FROM {TABLE} WHERE organization_id = {{organisation:UUID}}", {"organisation": organisation}
    )

    assert row["request_created_at"] == datetime.datetime(2026, 10, 25, 0, 59, 59, 999000, datetime.UTC)
    assert row["cost"] == 12_346
    assert row["prompt_tokens"] == 1 + 5 + 6
    assert row["completion_tokens"] == 7 + 9 + 2**53 + 1
    assert (row["prompt_cache_read_tokens"], row["prompt_cache_write_tokens"]) == (2 + 10, 3 + 4)
    assert (row["reasoning_tokens"], row["prompt_audio_tokens"], row["completion_audio_tokens"]) == (8, 5, 9)
    assert row["status"] == 529
    assert row["target_url"] == "https://api.anthropic.com/v1/messages?beta=true"
    assert (row["request_body"], row["response_body"]) == ('{"a": 1}', "")
    assert row["scores"] == {"good": 1}
    assert row["cache_reference_id"] == uuid.UUID(int=0)


@pytest.mark.parametrize(
    ("outcome", "status", "expected"),
    [
        (Outcome.COMPLETE, 200, 200),
        (Outcome.COMPLETE, 404, 404),
        (Outcome.REFUSED, 400, 400),
        (Outcome.CLIENT_ABORTED, 200, -3),
        (Outcome.TIMEOUT, 504, -2),
        (Outcome.UPSTREAM_ERROR, 502, 502),
        (Outcome.UPSTREAM_ERROR, 200, -100),
        (Outcome.INTERRUPTED, None, -100),
    ],
)
def test_status_tells_an_abnormal_end_as_helicone_does(
    log: RequestLog, organisation: uuid.UUID, outcome: Outcome, status: int | None, expected: int
) -> None:
    request = a_request(organisation_id=organisation, outcome=outcome, status=status)

    log.insert([a_row(request)], str(uuid.uuid4()))

    (row,) = log.select(
        f"SELECT status, http_status FROM {TABLE} WHERE request_id = {{id:UUID}}"
        " AND organization_id = {organisation:UUID}",
        {"id": request.id, "organisation": organisation},
    )
    assert row == {"status": expected, "http_status": status}


def test_the_same_token_twice_is_one_batch(log: RequestLog, organisation: uuid.UUID) -> None:
    rows = some_rows(50, organisation)
    token = str(uuid.uuid4())

    log.insert(rows, token)
    log.insert(rows, token)

    (stored,) = log.select(
        f"SELECT count() AS n FROM {TABLE} WHERE organization_id = {{organisation:UUID}} SETTINGS final = 0",
        {"organisation": organisation},
    )
    assert stored == {"n": 50}


def test_rows_whose_token_outlived_them_are_stored_all_the_same(
    log: RequestLog, organisation: uuid.UUID
) -> None:
    """As a kill leaves it between the engine's note of the token and its rows."""
    rows = some_rows(50, organisation)
    token = str(uuid.uuid4())
    log.insert(rows, token)
    gone = [row.request.id for row in rows[:30]]
    log._server.command(
        f"ALTER TABLE {TABLE} DELETE WHERE request_id IN {{gone:Array(UUID)}}",
        {"mutations_sync": 2},
        {"gone": gone},
    )
    assert totals_of(log, organisation)[0] == 20

    log.insert(rows, token)
    log.insert(rows, token)

    assert totals_of(log, organisation)[0] == 50


def test_what_exists_is_found_and_the_rest_is_not(log: RequestLog, organisation: uuid.UUID) -> None:
    rows = some_rows(1000, organisation)
    log.insert(rows[:600], str(uuid.uuid4()))

    found = log.existing([row.request.id for row in rows], *span_of(rows))

    assert found == {row.request.id: {row.request.created_at} for row in rows[:600]}


def test_existing_looks_only_at_the_given_time(log: RequestLog, organisation: uuid.UUID) -> None:
    rows = some_rows(3, organisation)
    log.insert(rows, str(uuid.uuid4()))
    moments = [row.request.created_at for row in rows]

    assert log.existing([rows[1].request.id], moments[1], moments[1]) == {rows[1].request.id: {moments[1]}}
    assert log.existing([rows[1].request.id], moments[2], moments[2]) == {}
    assert log.existing([], moments[0], moments[2]) == {}


def test_rows_sent_again_under_another_token_are_filtered_and_never_counted_twice(
    log: RequestLog, organisation: uuid.UUID
) -> None:
    rows = some_rows(100, organisation)
    log.insert(rows[:70], "first " + organisation.hex)

    known = log.existing([row.request.id for row in rows], *span_of(rows))
    log.insert([row for row in rows if row.request.id not in known], "second " + organisation.hex)

    assert totals_of(log, organisation) == (100, Decimal("0.00123"), 1_230_000)


def test_two_backends_that_race_with_the_same_rows_count_them_once(
    store: RunningStore, log: RequestLog, organisation: uuid.UUID
) -> None:
    rows = some_rows(200, organisation)
    backends = [store.log() for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(backend.insert, rows, f"{number} {organisation}")
            for number, backend in enumerate(backends)
        ]
        for job in jobs:
            job.result()

    assert totals_of(log, organisation) == (200, Decimal("0.00246"), 2_460_000)
    assert len(requests_of(log, organisation)) == 200


def test_the_later_version_of_a_row_wins(log: RequestLog, organisation: uuid.UUID) -> None:
    request = a_request(organisation_id=organisation)
    later = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)

    log.insert([a_row(request, scores={"good": 1}, updated_at=later)], str(uuid.uuid4()))
    log.insert([a_row(request)], str(uuid.uuid4()))

    rows = log.select(
        f"SELECT scores FROM {TABLE} WHERE organization_id = {{organisation:UUID}}",
        {"organisation": organisation},
    )
    assert rows == [{"scores": {"good": 1}}]


def test_helicones_older_tables_are_views_of_the_same_rows(log: RequestLog, organisation: uuid.UUID) -> None:
    request = a_request(organisation_id=organisation, properties={"env": "prod", "app": "demo"})
    saved = uuid.uuid4()
    for token in ("one ", "two "):
        log.insert([a_row(request, cache_reference_id=saved)], token + organisation.hex)
    mine = {"organisation": organisation}
    where = " WHERE organization_id = {organisation:UUID}"

    properties = log.select(f"SELECT key, value FROM properties_v3{where} ORDER BY key", mine)

    assert properties == [{"key": "app", "value": "demo"}, {"key": "env", "value": "prod"}]
    assert log.select(f"SELECT key, value FROM properties_v2{where} ORDER BY key", mine) == properties
    assert log.select(f"SELECT request_id FROM cache_hits{where}", mine) == [{"request_id": saved}]
    assert log.select(f"SELECT sign, request_id FROM request_response_versioned{where}", mine) == [
        {"sign": 1, "request_id": request.id}
    ]


def test_migrating_again_changes_nothing(log: RequestLog, organisation: uuid.UUID) -> None:
    log.insert(some_rows(3, organisation), str(uuid.uuid4()))
    before = log.select("SELECT number, applied_at FROM heli_migrations ORDER BY number")

    log.migrate()

    assert log.select("SELECT number, applied_at FROM heli_migrations ORDER BY number") == before
    assert totals_of(log, organisation)[0] == 3


def test_parameters_are_values_and_never_sql(log: RequestLog, organisation: uuid.UUID) -> None:
    nasty = "'); DROP TABLE request_response_rmt; -- \\ {x:String} %s"

    rows = log.select(
        "SELECT {text:String} AS text, {list:Array(String)} AS list, {at:DateTime64(6, 'UTC')} AS at",
        {"text": nasty, "list": [nasty, ""], "at": NOON},
    )

    assert rows == [{"text": nasty, "list": [nasty, ""], "at": NOON}]


def test_a_query_that_is_wrong_is_refused_with_the_engines_words(log: RequestLog) -> None:
    with pytest.raises(StoreError, match="no_such_column"):
        log.select(f"SELECT no_such_column FROM {TABLE}")


def test_a_wrong_password_is_denied(store: RunningStore, log: RequestLog) -> None:
    from heli.backend.stores.clickhouse import ClickHouse

    stranger = RequestLog(ClickHouse(f"http://heli:wrong@127.0.0.1:{store.port}"))

    with pytest.raises(DeniedError, match="refuses user 'heli'"):
        stranger.ping()


def test_no_store_is_unreachable_and_the_next_call_may_succeed() -> None:
    from heli.backend.stores.clickhouse import ClickHouse

    lost = RequestLog(ClickHouse(f"http://heli:x@127.0.0.1:{free_port()}"))

    for _ in range(2):
        with pytest.raises(UnreachableError, match="does not answer") as caught:
            lost.ping()
        assert "heli up" in caught.value.hint


def test_ping_tells_that_the_log_can_be_read(log: RequestLog) -> None:
    log.ping()

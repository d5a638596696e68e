"""Helicone's routes keep Helicone's shapes, codes and numbers."""

import datetime
import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from heli.schema.exchange import Exchange
from tests.backend.backend_builders import a_question, an_answer, an_exchange
from tests.backend.conftest import RunningBackend

LIST = "/v1/request/query-clickhouse"


def rows(backend: RunningBackend, path: str = LIST, **asked: Any) -> list[dict[str, Any]]:
    response = backend.client.post(path, json={"filter": "all", **asked})
    assert response.status_code == 201, response.text
    result = response.json()
    assert result["error"] is None
    listed: list[dict[str, Any]] = result["data"]
    return listed


def leaf(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"request_response_rmt": {field: {operator: value}}}


def users(listed: list[dict[str, Any]]) -> list[str]:
    return [row["request_user_id"] for row in listed]


def by_user(name: str, tokens: int, **fields: Any) -> Exchange:
    headers = [(b"Helicone-User-Id", name.encode()), (b"Helicone-Property-Rank", str(tokens).encode())]
    return an_exchange(headers=headers, response_body=an_answer(tokens=(tokens, 1)), **fields)


def test_a_request_has_all_of_helicones_fields(backend: RunningBackend) -> None:
    exchange = by_user("alice", 9)
    backend.send(exchange)

    (row,) = rows(backend)

    assert row["request_id"] == str(exchange.request_id)
    assert row["request_body"] == json.loads(exchange.request_body)
    assert row["response_body"] == json.loads(exchange.response_body)
    assert row["request_created_at"].endswith("Z")
    assert (
        datetime.datetime.fromisoformat(row["request_created_at"]).timestamp() * 1000
        == exchange.started_ns // 10**6
    )
    expected = {
        "response_status": 200,
        "delay_ms": 250,
        "model": "gpt-4o-mini-2024-07-18",
        "request_model": "gpt-4o-mini",
        "provider": "OPENAI",
        "prompt_tokens": 9,
        "completion_tokens": 1,
        "total_tokens": 10,
        "cost": 0.00000195,
        "costUSD": 0.00000195,
        "properties": {"rank": "9"},
        "target_url": "https://api.openai.com/v1/chat/completions",
        "cache_reference_id": str(uuid.UUID(int=0)),
        "cache_enabled": False,
        "assets": [],
        "country_code": None,
    }
    assert {name: row[name] for name in expected} == expected


def test_the_older_path_answers_the_same(backend: RunningBackend) -> None:
    backend.send(an_exchange())

    assert rows(backend, "/v1/request/query") == rows(backend)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ({}, "cba"),
        ({"created_at": "asc"}, "abc"),
        ({"created_at": "desc"}, "cba"),
        ({"prompt_tokens": "desc"}, "bca"),
        ({"total_tokens": "asc"}, "acb"),
        ({"cost": "desc"}, "bca"),
        ({"user_id": "asc"}, "abc"),
        ({"properties": {"rank": "asc"}}, "acb"),
        ({"nonsense": "asc", "user_id": "desc"}, "cba"),
        ({"latency": "asc"}, "cba"),
        ({"is_cached": "desc"}, "cba"),
    ],
)
def test_sorting(backend: RunningBackend, sort: dict[str, Any], order: str) -> None:
    backend.send(by_user("a", 1), by_user("b", 7), by_user("c", 5))

    assert "".join(users(rows(backend, sort=sort))) == order


def test_unknown_values_come_last_either_way(backend: RunningBackend) -> None:
    backend.send(by_user("a", 1), by_user("b", 7), an_exchange(response_body=b"", response_status=502))

    for way in ("asc", "desc"):
        assert users(rows(backend, sort={"prompt_tokens": way}))[-1] is None


def test_random_order_gives_every_row_once(backend: RunningBackend) -> None:
    backend.send(*(by_user(name, 1) for name in "abcde"))

    assert sorted(users(rows(backend, sort={"random": True}))) == list("abcde")


def test_offset_and_limit(backend: RunningBackend) -> None:
    backend.send(*(by_user(name, 1) for name in "abcdefghijkl"))

    assert users(rows(backend)) == list("lkjihgfedc")
    assert users(rows(backend, offset=10)) == ["b", "a"]
    assert users(rows(backend, offset=1, limit=2)) == ["k", "j"]
    assert rows(backend, limit=0) == []


@pytest.mark.parametrize("limit", [-1, 1001, 10**12])
def test_limits_out_of_range(backend: RunningBackend, limit: int) -> None:
    response = backend.client.post(LIST, json={"filter": "all", "limit": limit})

    assert (response.status_code, response.json()) == (400, {"data": None, "error": "invalid limit"})


def test_filter_trees(backend: RunningBackend) -> None:
    backend.send(by_user("a", 1), by_user("b", 7), by_user("c", 5, response_status=500))

    tree = {
        "left": leaf("user_id", "equals", "a"),
        "operator": "or",
        "right": {
            "left": leaf("status", "gte", 500),
            "operator": "and",
            "right": leaf("properties", "rank", {"equals": "5"}),
        },
    }
    assert users(rows(backend, filter=tree)) == ["c", "a"]
    assert users(rows(backend, filter={})) == ["c", "b", "a"]


def test_counting(backend: RunningBackend) -> None:
    backend.send(by_user("a", 1), by_user("b", 7))

    for filter, count in (
        ("all", 2),
        (leaf("user_id", "equals", "a"), 1),
        (leaf("user_id", "equals", "x"), 0),
    ):
        response = backend.client.post("/v1/request/count/query", json={"filter": filter})
        assert (response.status_code, response.json()) == (200, {"data": count, "error": None})


def test_one_request_with_and_without_bodies(backend: RunningBackend) -> None:
    exchange = an_exchange()
    backend.send(exchange)
    path = f"/v1/request/{exchange.request_id}"

    assert backend.get(path)["data"]["request_body"] == {
        "helicone_message": "ask with includeBody=true for the body"
    }
    assert backend.get(path, includeBody="true")["data"]["request_body"] == json.loads(exchange.request_body)


def test_an_unknown_id_is_no_error(backend: RunningBackend) -> None:
    assert backend.get(f"/v1/request/{uuid.uuid4()}") == {"data": None, "error": None}


def test_requests_by_id_leave_unknown_ones_out(backend: RunningBackend) -> None:
    exchange = an_exchange()
    backend.send(exchange, an_exchange())
    ids = [str(exchange.request_id), str(uuid.uuid4())]

    response = backend.client.post("/v1/request/query-ids", json={"requestIds": ids})

    assert [row["request_id"] for row in response.json()["data"]] == ids[:1]


def test_a_long_or_streamed_body_comes_from_the_archive(backend: RunningBackend) -> None:
    long = a_question("x" * 100_000)
    events = [{"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}, "[DONE]"]
    stream = b"".join(
        b"data: %b\n\n" % (event if isinstance(event, str) else json.dumps(event)).encode()
        for event in events
    )
    backend.send(
        an_exchange(
            request_body=long,
            response_body=stream,
            response_headers=[(b"Content-Type", b"text/event-stream")],
        )
    )

    (row,) = rows(backend)

    assert row["request_body"] == json.loads(long)
    assert row["response_body"]["choices"][0]["message"]["content"] == "Hi"


def test_an_omitted_body_says_so(backend: RunningBackend) -> None:
    backend.send(an_exchange(headers=[(b"Helicone-Omit-Request", b"true")]))

    (row,) = rows(backend)

    assert row["request_body"] == {"helicone_message": "omitted, as the caller asked"}
    assert row["response_body"]["id"] == "chatcmpl-1"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "requestBody.filter"),
        ({"filter": 3}, "requestBody.filter"),
        ({"filter": "all", "limit": "ten"}, "requestBody.limit"),
        ({"filter": "all", "offset": -1}, "requestBody.offset"),
        ({"filter": "all", "surprise": 1}, "requestBody.surprise"),
        ({"filter": "all", "isScored": "\ud800"}, "requestBody"),
        ({"filter": "all", "\ud800": 1}, "requestBody"),
    ],
)
def test_a_body_that_does_not_fit_is_told_as_helicone_tells_it(
    backend: RunningBackend, body: dict[str, Any], field: str
) -> None:
    response = backend.client.post(
        LIST, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 422, response.text
    error = response.json()
    assert error["message"] == "Validation Failed"
    assert any(name.startswith(field) and detail["message"] for name, detail in error["details"].items())


FIELDS = st.sampled_from(
    ["user_id", "status", "cost", "model", "properties", "request_created_at", "cached", "x"]
)
OPERATORS = st.sampled_from(["equals", "not-equals", "gte", "like", "contains", "has", "in", "\ud800"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("null"),
    st.just("2026-11-01"),
    st.just("'; DROP TABLE request_response_rmt; --"), st.just({"equals": "x"}), st.just("\ud800"),
)  # fmt: skip
TABLES = st.sampled_from(["request_response_rmt", "request", "properties", "users_view", "nothing"])
LEAVES = st.builds(
    lambda table, field, operator, value: {table: {field: {operator: value}}},
    TABLES,
    FIELDS,
    OPERATORS,
    VALUES,
)
TREES = st.recursive(
    LEAVES | VALUES | st.just({}) | st.just("all"),
    lambda node: st.builds(
        lambda left, operator, right: {"left": left, "operator": operator, "right": right},
        node, st.sampled_from(["and", "or", "xor", 1]), node,
    ),
    max_leaves=8,
)  # fmt: skip


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tree=TREES, sort=st.dictionaries(st.text(max_size=12), VALUES, max_size=2), limit=VALUES)
@example(tree={"request_response_rmt": {"user_id": {"equals": "\ud800"}}}, sort={}, limit=1)
@example(
    tree={"request_response_rmt": {"cost": {"gte": float("nan")}}},
    sort={"properties": {"\ud800": "asc"}},
    limit=1,
)
@example(tree={"request_response_rmt": {"status": {"equals": 10**40}}}, sort={"cost": ["asc"]}, limit=1)
def test_no_tree_breaks_the_server(
    backend: RunningBackend, tree: Any, sort: dict[str, Any], limit: Any
) -> None:
    for path in (LIST, "/v1/request/count/query"):
        body = json.dumps({"filter": tree, "sort": sort, "limit": limit})
        response = backend.client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code in (200, 201, 400, 422), (body, response.text)


@pytest.mark.parametrize("depth", [50, 500, 20_000])
def test_a_deep_tree_is_answered_or_refused(backend: RunningBackend, depth: int) -> None:
    opening = '{"left": "all", "operator": "and", "right": ' * depth
    body = '{"filter": ' + opening + '"all"' + "}" * depth + "}"

    response = backend.client.post(LIST, content=body, headers={"Content-Type": "application/json"})

    assert response.status_code in (201, 400, 422), response.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"filter": "all"', b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(backend: RunningBackend, body: bytes) -> None:
    response = backend.client.post(LIST, content=body, headers={"Content-Type": "application/json"})

    assert response.status_code in (400, 422), response.text

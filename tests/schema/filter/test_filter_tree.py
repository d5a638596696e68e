"""The tree that a filter becomes: Helicone's conditions."""

import datetime
import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.schema.filter import FilterError, parse, read, write

NOW = datetime.datetime(2026, 11, 23, 16, 44, 55, 123456, tzinfo=datetime.UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def leaf(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"request_response_rmt": {field: {operator: value}}}


def contains(field: str) -> dict[str, Any]:
    return leaf(field, "contains", "words")


def both(left: Any, right: Any) -> dict[str, Any]:
    return {"left": left, "operator": "and", "right": right}


def either(left: Any, right: Any) -> dict[str, Any]:
    return {"left": left, "operator": "or", "right": right}


def named(*ids: Any) -> Any:
    """Any of these."""
    middle = (len(ids) + 1) // 2
    return ids[0] if len(ids) == 1 else either(named(*ids[:middle]), named(*ids[middle:]))


def is_session(value: str) -> list[Any]:
    return [leaf("session_id", "equals", value), leaf("session_name", "equals", value)]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("session:run-17", named(*is_session("run-17"))),
        ("session:0199f3a2", named(*is_session("0199f3a2"), leaf("session_id", "like", "0199f3a2-%"))),
        (
            "session:thread-7f3a91",
            named(*is_session("thread-7f3a91"), leaf("session_id", "like", "thread-%-7f3a91")),
        ),
        (
            "session:fix/tests",
            either(
                named(*is_session("fix/tests")),
                both(named(*is_session("fix")), leaf("session_path", "equals", "/tests")),
            ),
        ),
        (
            "session:a-long-na…",
            named(leaf("session_id", "like", "a-long-na%"), leaf("session_name", "like", "a-long-na%")),
        ),
        ("session:*", leaf("session_id", "not-equals", "__empty__")),
    ],
)
def test_a_session_is_found_as_lists_show_it(text: str, tree: Any) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", "all"),
        ("user:gpt-4o", leaf("user_id", "equals", "gpt-4o")),
        ("user:gpt-4o*", leaf("user_id", "like", "gpt-4o%")),
        ('user:"50%_"*', leaf("user_id", "like", r"50\%\_%")),
        ("-user:gpt-4o*", leaf("user_id", "not-like", "gpt-4o%")),
        ("user:a,b", either(leaf("user_id", "equals", "a"), leaf("user_id", "equals", "b"))),
        ("user!=a,b", both(leaf("user_id", "not-equals", "a"), leaf("user_id", "not-equals", "b"))),
        ("model:o3", either(leaf("model", "equals", "o3"), leaf("request_model", "equals", "o3"))),
        ("-model:o*", both(leaf("model", "not-like", "o%"), leaf("request_model", "not-like", "o%"))),
        ('model:""', both(*(leaf(name, "equals", "__empty__") for name in ("model", "request_model")))),
        ("provider:openai", leaf("provider", "equals", "OPENAI")),
        ("provider:http://x/y", leaf("provider", "equals", "http://x/y")),
        ("finish:STOP", leaf("finish_reason", "ilike", "STOP")),
        ("user:*", leaf("user_id", "not-equals", "__empty__")),
        ('user:""', leaf("user_id", "equals", "__empty__")),
        ("user:null", leaf("user_id", "like", "null")),
        ("user:__empty__", leaf("user_id", "like", r"\_\_empty\_\_")),
        ("status>=400", leaf("http_status", "gte", 400)),
        ("status:4xx", both(leaf("http_status", "gte", 400), leaf("http_status", "lt", 500))),
        ("status:unknown", leaf("http_status", "equals", "null")),
        ("-status:unknown", leaf("http_status", "not-equals", "null")),
        ("-status>=400", either(leaf("http_status", "lt", 400), leaf("http_status", "equals", "null"))),
        ("cost>0.01", leaf("cost_usd", "gt", 0.01)),
        ("cost>$5", leaf("cost_usd", "gt", 5)),
        ("took>1m30s", leaf("duration_ms", "gt", 90_000)),
        ("ttft<1.5ms", leaf("ttft_ms", "lt", 1.5)),
        ("tokens>1.5k", leaf("usage_total", "gt", 1500)),
        ("out:2M", leaf("usage_total_output", "equals", 2_000_000)),
        ("stream:yes", leaf("is_streaming", "equals", True)),
        ("-stream:true", leaf("is_streaming", "equals", False)),
        ("cached:false", leaf("cached", "equals", False)),
        ("prop.env:prod", leaf("properties", "env", {"equals": "prod"})),
        ("-prop.env:prod", leaf("properties", "env", {"not-equals": "prod"})),
        ("prop.env:null", leaf("properties", "env", {"equals": "null"})),
        ("prop.env:p*", leaf("properties", "env", {"like": "p%"})),
        ("prop:env", leaf("property_key", "equals", "env")),
        ("-prop.env:*", leaf("property_key", "not-equals", "env")),
        ("prop.Env:Prod", leaf("properties", "env", {"equals": "Prod"})),
        ("prop:ENV", leaf("property_key", "equals", "env")),
        ("prop.Env:*", leaf("property_key", "equals", "env")),
        ("prop.agent-session-id:a", leaf("properties", "Agent-Session-Id", {"equals": "a"})),
        ("score.q>0", leaf("scores", "q", {"gt": 0})),
        ("score.q:true", leaf("scores", "q", {"equals": 1})),
        (
            "-score.q>0",
            either(leaf("scores", "q", {"lte": 0}), leaf("score_key", "not-equals", "q")),
        ),
        ("tool:read_*", leaf("tool_calls", "like", r"read\_%")),
        ("-tool:ls", leaf("tool_calls", "not-has", "ls")),
        ("tool:*", leaf("tool_calls", "not-equals", "__empty__")),
        ("id:019A-b", leaf("request_id", "like", "019ab%")),
        ("id:019ab2c3d4", leaf("request_id", "like", "019ab2c3-d4%")),
        (
            "id:019AB2C3D4E5F60718293A4B5C6D7E8F",
            leaf("request_id", "equals", "019ab2c3-d4e5-f607-1829-3a4b5c6d7e8f"),
        ),
        ("error.message:boom", leaf("error_message", "contains", "boom")),
        (
            "request:50%*off",
            either(*(leaf(name, "ilike", r"%50\%%off%") for name in ("request_text", "request_preview"))),
        ),
        (
            "words",
            either(
                either(contains("request_text"), contains("response_text")),
                either(contains("request_preview"), contains("response_preview")),
            ),
        ),
        ("since:2h", leaf("request_created_at", "gte", "2026-11-23T14:44:55.123Z")),
        ("until:now", leaf("request_created_at", "lt", "2026-11-23T16:44:55.123Z")),
        ("-since:1h30m", leaf("request_created_at", "lt", "2026-11-23T15:14:55.123Z")),
        ("since:today", leaf("request_created_at", "gte", "2026-11-22T23:00:00.000Z")),
        ("since:yesterday", leaf("request_created_at", "gte", "2026-11-21T23:00:00.000Z")),
        ("since:14:30", leaf("request_created_at", "gte", "2026-11-23T13:30:00.000Z")),
        ("since:2026-11", leaf("request_created_at", "gte", "2026-10-31T23:00:00.000Z")),
        ("since:2026-07-01", leaf("request_created_at", "gte", "2026-06-30T22:00:00.000Z")),
        ("since:2026-11-01T10:00Z", leaf("request_created_at", "gte", "2026-11-01T10:00:00.000Z")),
        ("since:2026-11-01T10:00:00.5+02:00", leaf("request_created_at", "gte", "2026-11-01T08:00:00.500Z")),
        ('until:"2026-11-01 10:00"', leaf("request_created_at", "lt", "2026-11-01T09:00:00.000Z")),
    ],
)  # fmt: skip
def test_a_term_becomes_its_condition(text: str, tree: Any) -> None:
    assert parse(text, NOW, BERLIN) == tree


def test_and_or_and_not_become_branches() -> None:
    a, b, c = (leaf("user_id", "equals", name) for name in "abc")
    assert parse("user:a user:b or user:c", NOW) == either(both(a, b), c)
    not_a, not_b = (leaf("user_id", "not-equals", name) for name in "ab")
    assert parse("-(user:a OR user:b) user:c", NOW) == both(both(not_a, not_b), c)


def test_a_long_filter_makes_a_shallow_tree() -> None:
    def depth(node: Any) -> int:
        return 1 + max(depth(node["left"]), depth(node["right"])) if "left" in node else 1

    assert depth(parse(" ".join(f"user:u{i}" for i in range(256)), NOW)) == 9


def test_without_a_zone_days_begin_on_this_machine() -> None:
    midnight = datetime.datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    expected = midnight.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert parse("since:today") == leaf("request_created_at", "gte", expected)


VALID = (
    "model:a*", "-cost>0.1", "since:3d", "x", '"two words"', "prop.a:b,c", "score.q>=0", "status:4xx",
    "tool:t", "user:null", 'user:""', "id:ab", "until:yesterday", "stream:true", "in:unknown",
)  # fmt: skip


@given(st.recursive(st.sampled_from(VALID), lambda inner: st.one_of(
    st.lists(inner, min_size=1, max_size=3).map(" ".join),
    st.lists(inner, min_size=2, max_size=3).map(lambda terms: "(" + " OR ".join(terms) + ")"),
    inner.map(lambda text: f"-({text})"),
), max_leaves=12))  # fmt: skip
def test_the_canonical_spelling_has_the_same_tree(text: str) -> None:
    tree = parse(text, NOW, BERLIN)
    assert parse(write(read(text)), NOW, BERLIN) == tree
    assert json.loads(json.dumps(tree)) == tree


@given(
    st.sampled_from(["since:", "took>", "cost:", "tokens<", "status:", "id:", "score.q:", "stream:"]),
    st.text(max_size=20),
)
def test_no_value_breaks_the_compiler(start: str, value: str) -> None:
    try:
        tree = parse(start + '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"', NOW, BERLIN)
    except FilterError:
        return
    assert json.dumps(tree)

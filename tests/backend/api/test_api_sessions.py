"""A run of an agent with sub-agents is one session with a tree, tools paired with their results, and sums."""

import itertools
import json
import random
import uuid
from decimal import Decimal
from typing import Any

import pytest

from heli.schema.exchange import Exchange, Headers
from tests.backend.backend_builders import an_exchange
from tests.backend.conftest import RunningBackend

SECOND = 10**9
START = 1_790_000_000 * SECOND
CLAUDE: Headers = [(b"User-Agent", b"claude-cli/2.1.197 (external, cli)")]
_tick = itertools.count()


def a_claude_call(
    session: str,
    agent: str = "",
    parent: str = "",
    calls: dict[str, str] | None = None,
    results: dict[str, str] | None = None,
    headers: Headers = [],  # noqa: B006
) -> Exchange:
    """`calls` is `{tool call's id: tool}`, `results` is `{id: text}`."""
    told = [(b"X-Claude-Code-Session-Id", session.encode())]
    told += [(b"X-Claude-Code-Agent-Id", agent.encode())] if agent else []
    told += [(b"X-Claude-Code-Parent-Agent-Id", parent.encode())] if parent else []
    blocks: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": id, "content": text, "is_error": text.startswith("no ")}
        for id, text in (results or {}).items()
    ]
    messages: list[dict[str, Any]] = [{"role": "user", "content": blocks or f"do it {uuid.uuid4()}"}]
    used = [
        {"type": "tool_use", "id": id, "name": tool, "input": {"n": 1}} for id, tool in (calls or {}).items()
    ]
    reply = {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "Well."}, *used],
        "stop_reason": "tool_use" if used else "end_turn",
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    }
    return an_exchange(
        origin="https://api.anthropic.com",
        path="/v1/messages?beta=true",
        headers=[*CLAUDE, *told, *headers],
        request_body=json.dumps({"model": "claude-sonnet-4-5", "messages": messages}).encode(),
        response_body=json.dumps(reply).encode(),
        started_ns=START + next(_tick) * SECOND,
    )


CALL_COST = Decimal("0.0045")
"""1,000 tokens at $3 and 100 at $15 for a million."""


def a_run(session: str, **more: Any) -> list[Exchange]:
    """main starts `tests`, which starts `deep`; a call of `docs` names a parent that made no call itself."""
    return [
        a_claude_call(session, calls={"t1": "Task", "t2": "Read"}, **more),
        a_claude_call(session, "tests", calls={"t3": "Task"}, **more),
        a_claude_call(session, "deep", "tests", **more),
        a_claude_call(session, "tests", results={"t3": "deep is done"}, **more),
        a_claude_call(session, "docs", "silent", **more),
        a_claude_call(session, results={"t1": "tests pass", "t2": "no such file"}, **more),
    ]


def names(node: dict[str, Any]) -> Any:
    """`{name: {…}}` of the children, and how many calls each node made."""
    return len(node["calls"]), {child["name"]: names(child) for child in node["children"]}


@pytest.mark.parametrize("seed", range(5))
def test_the_tree_is_the_same_in_whatever_order_the_calls_are_stored(
    backend: RunningBackend, seed: int
) -> None:
    session = str(uuid.uuid4())
    run = a_run(session)
    shuffled = random.Random(seed).sample(run, len(run))
    for exchange in shuffled:
        backend.send(exchange)

    found = backend.get(f"/v1/sessions/{session}")

    assert names(found["root"]) == (
        2,
        {"tests": (2, {"deep": (1, {})}), "silent": (0, {"docs": (1, {})})},
    )
    assert found["agents"] == 4
    assert found["total"]["requests"] == 6
    assert Decimal(str(found["total"]["cost_usd"])) == 6 * CALL_COST
    tests = next(child for child in found["root"]["children"] if child["name"] == "tests")
    assert Decimal(str(tests["own"]["cost_usd"])) == 2 * CALL_COST
    assert Decimal(str(tests["total"]["cost_usd"])) == 3 * CALL_COST
    assert (tests["total"]["input_tokens"], tests["total"]["output_tokens"]) == (3000, 300)
    assert tests["path"] == "/tests"


def test_tool_calls_are_paired_with_their_results_across_turns(backend: RunningBackend) -> None:
    session = str(uuid.uuid4())
    run = a_run(session)
    backend.send(*run)

    root = backend.get(f"/v1/sessions/{session}")["root"]

    task, read = root["calls"][0]["tools"]
    assert (task["name"], task["result"], task["is_error"]) == ("Task", "tests pass", False)
    assert (read["name"], read["result"], read["is_error"]) == ("Read", "no such file", True)
    assert task["result_request_id"] == str(run[5].request_id)
    assert task["ran_ms"] == pytest.approx(5000 - 250)
    assert task["input"] == '{"n":1}'
    assert root["total"]["tool_calls"] == 3


def test_a_tool_without_a_result_yet_says_so(backend: RunningBackend) -> None:
    session = str(uuid.uuid4())
    backend.send(a_claude_call(session, calls={"t1": "Bash"}))
    (tool,) = backend.get(f"/v1/sessions/{session}")["root"]["calls"][0]["tools"]
    assert (tool["result"], tool["result_request_id"], tool["ran_ms"]) == (None, None, None)


def test_a_named_session_holds_the_agents_tree_and_keeps_the_agents_own_id(backend: RunningBackend) -> None:
    own = str(uuid.uuid4())
    named: Headers = [(b"Helicone-Session-Id", b"run-1"), (b"Helicone-Session-Name", b"fix-login")]
    run = a_run(own, headers=named)
    backend.send(*run)

    found = backend.get("/v1/sessions/run-1")

    assert (found["name"], found["agents"], found["total"]["requests"]) == ("fix-login", 4, 6)
    deep = backend.get(f"/v1/requests/{run[2].request_id}")
    assert (deep["session_id"], deep["session_path"]) == ("run-1", "/tests/deep")
    assert deep["properties"]["Agent-Session-Id"] == own
    assert (deep["session_source"], deep["agent_session_id"]) == ("caller", own)


def test_a_program_that_was_started_again_within_a_session_has_a_place_of_its_own(
    backend: RunningBackend,
) -> None:
    named: Headers = [(b"Helicone-Session-Id", b"run-2")]
    first, second = "11111111-aaaa", "22222222-bbbb"
    backend.send(a_claude_call(first, headers=named))
    backend.send(a_claude_call(second, headers=named), a_claude_call(second, "tests", headers=named))
    assert names(backend.get("/v1/sessions/run-2")["root"]) == (1, {second: (1, {"tests": (1, {})})})


def test_a_callers_own_path_is_a_tree_as_well(backend: RunningBackend) -> None:
    def call(path: str) -> Exchange:
        return an_exchange(
            headers=[(b"Helicone-Session-Id", b"a/b"), (b"Helicone-Session-Path", path.encode())]
        )

    backend.send(call("/plan/search"), call("/plan"), call("/"))

    found = backend.get("/v1/sessions/a/b")

    assert names(found["root"]) == (1, {"plan": (1, {"search": (1, {})})})


def test_housekeeping_is_stored_and_not_counted(backend: RunningBackend) -> None:
    session = str(uuid.uuid4())
    told: Headers = [*CLAUDE, (b"X-Claude-Code-Session-Id", session.encode())]
    both = {"origin": "https://api.anthropic.com", "headers": told, "response_body": b"{}"}
    head = an_exchange(method="HEAD", path="/", request_body=b"", **both)
    events = an_exchange(path="/api/event_logging/batch", request_body=b"{}", **both)
    backend.send(head, events, a_claude_call(session))

    assert backend.get(f"/v1/sessions/{session}")["total"]["requests"] == 1
    assert backend.get("/v1/costs")["total"]["requests"] == 1
    assert len(backend.get("/v1/requests")["requests"]) == 3
    assert len(backend.get("/v1/requests", side_calls="false")["requests"]) == 1
    asked_for = backend.get("/v1/requests", side_calls="false", filter="operation:other")
    assert len(asked_for["requests"]) == 2
    assert backend.get(f"/v1/requests/{head.request_id}")["operation"] == "other"


def test_costs_are_grouped_by_agent(backend: RunningBackend) -> None:
    backend.send(*a_run(str(uuid.uuid4())))
    rows = backend.get("/v1/costs", by="agent")["rows"]
    assert {row["agent"]: row["requests"] for row in rows} == {"": 2, "tests": 2, "deep": 1, "docs": 1}


def test_costs_by_session_tell_its_name(backend: RunningBackend) -> None:
    named: Headers = [(b"Helicone-Session-Id", b"4711"), (b"Helicone-Session-Name", b"fix-login")]
    backend.send(an_exchange(headers=named), an_exchange(headers=[]))
    rows = backend.get("/v1/costs", by="session,model")["rows"]
    assert {row["session"]: row["session_name"] for row in rows} == {"4711": "fix-login", "": ""}
    assert "session_name" not in backend.get("/v1/costs", by="model")["rows"][0]


@pytest.mark.parametrize(
    "filter", ["agent:tests", "session.path:/tests", "agent:te* agent.program:claude-code"]
)
def test_an_agents_calls_are_found(backend: RunningBackend, filter: str) -> None:
    backend.send(*a_run(str(uuid.uuid4())))
    assert len(backend.get("/v1/requests", filter=filter)["requests"]) == 2


def test_a_session_that_nobody_knows_is_not_found(backend: RunningBackend) -> None:
    assert backend.get("/v1/sessions/none", status=404)["error"]["code"] == "not_found"


def test_what_the_caller_wants_left_out_is_not_kept_with_the_tools(backend: RunningBackend) -> None:
    session = str(uuid.uuid4())
    omit: Headers = [(b"Helicone-Omit-Request", b"true"), (b"Helicone-Omit-Response", b"true")]
    backend.send(
        a_claude_call(session, calls={"t1": "Read"}, headers=omit),
        a_claude_call(session, results={"t1": "secret"}, headers=omit),
    )
    found = backend.get(f"/v1/sessions/{session}")
    assert "secret" not in json.dumps(found)
    assert all(call["tools"] == [] for call in found["root"]["calls"])

"""What agents say of themselves on the wire, as their programs send it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.providers import PriceBook, interpret
from heli.providers.agents import AgentMarks, read_agent, segment
from heli.schema.usage import CostState
from tests.providers.exchanges import an_exchange

SESSION = "0199f3a2-5b1e-7c33-9f21-6f0d8c1e2a77"
THREAD = "0199f3a4-1111-7222-8333-abcdefabcdef"


def marks(headers: dict[str, str] | None = None, request: Any = None) -> AgentMarks:
    return read_agent([(name.encode(), value.encode()) for name, value in (headers or {}).items()], request)


def test_claude_code_tells_session_agent_and_parent_by_headers() -> None:
    told = marks(
        {
            "User-Agent": "claude-cli/2.1.197 (external, cli)",
            "X-Claude-Code-Session-Id": SESSION,
            "X-Claude-Code-Agent-Id": "a2b3c4d",
            "X-Claude-Code-Parent-Agent-Id": "a1b2c3d",
        }
    )
    assert told == AgentMarks(
        program="claude-code", session_id=SESSION, agent_id="a2b3c4d", parent_agent_id="a1b2c3d"
    )


@pytest.mark.parametrize(
    "user_id",
    [
        json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": SESSION}),
        f"user_{'0' * 64}_account_{THREAD}_session_{SESSION}",
        f"user_{'0' * 64}_account__session_{SESSION}",
    ],
)
def test_claude_code_tells_its_session_in_the_body(user_id: str) -> None:
    told = marks({"user-agent": "claude-cli/2.1.0 (external, sdk-cli)"}, {"metadata": {"user_id": user_id}})
    assert (told.program, told.session_id, told.agent_id) == ("claude-code", SESSION, "")


def test_a_user_id_of_another_program_is_no_session() -> None:
    told = marks({"user-agent": "Anthropic/Python 0.80"}, {"metadata": {"user_id": f"x_session_{SESSION}"}})
    assert told == AgentMarks()


CODEX = {"user-agent": "codex_exec/0.169.0", "originator": "codex_exec"}


@pytest.mark.parametrize(
    ("headers", "request_"),
    [
        ({"session-id": SESSION, "thread-id": SESSION, "x-client-request-id": SESSION}, None),
        ({"session_id": SESSION, "conversation_id": SESSION}, None),
        ({"conversation_id": SESSION}, None),
        ({"x-codex-turn-metadata": json.dumps({"session_id": SESSION, "thread_id": SESSION})}, None),
        ({}, {"client_metadata": {"session_id": SESSION, "thread_id": SESSION}}),
        ({}, {"prompt_cache_key": SESSION}),
    ],
)
def test_codex_tells_its_session_in_many_ways(headers: dict[str, str], request_: Any) -> None:
    told = marks(CODEX | headers, request_)
    assert (told.program, told.session_id, told.agent_id) == ("codex", SESSION, "")


@pytest.mark.parametrize("parent", ["", THREAD[:-1] + "0"])
def test_a_thread_of_codex_is_an_agent(parent: str) -> None:
    headers = {"session-id": SESSION, "thread-id": THREAD, "x-openai-subagent": "review"}
    told = marks(CODEX | headers | {"x-codex-parent-thread-id": parent or SESSION})
    assert (told.session_id, told.agent_id, told.parent_agent_id) == (SESSION, THREAD, parent)
    assert told.agent_name == "review"


def test_gemini_cli_tells_its_session_where_it_can() -> None:
    told = marks({"User-Agent": "GeminiCLI/0.9.0"}, {"request": {"session_id": "s1"}})
    assert (told.program, told.session_id) == ("gemini-cli", "s1")


def test_names_that_others_may_use_say_nothing_of_them() -> None:
    assert marks({"session_id": "s", "conversation_id": "c", "thread-id": "t"}) == AgentMarks()


def test_traces_conversations_and_cache_keys_are_read_for_anybody() -> None:
    told = marks(
        {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        {"conversation": {"id": "conv_1"}, "prompt_cache_key": SESSION},
    )
    assert told == AgentMarks(
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        span_id="00f067aa0ba902b7",
        conversation_id="conv_1",
        cache_key=SESSION,
    )


@pytest.mark.parametrize("trace", ["", "00-xyz-1-01", "00-" + "0" * 31 + "-00f067aa0ba902b7-01"])
def test_a_trace_that_is_none_is_passed_over(trace: str) -> None:
    assert marks({"traceparent": trace}) == AgentMarks()


@pytest.mark.parametrize(
    ("agent", "shown"), [("a1b2c3d", "a1b2c3d"), (THREAD, "efabcdef"), ("name@team/x y", "name@team_x_y")]
)
def test_an_agents_id_is_a_short_segment_of_a_path(agent: str, shown: str) -> None:
    assert segment(agent) == shown


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/"),
        ("POST", "/api/event_logging/batch"),
        ("GET", "/api/oauth/profile"),
    ],
)
def test_claude_codes_housekeeping_is_no_call_of_a_model(method: str, path: str) -> None:
    exchange = an_exchange({"events": []}, {}, origin="https://api.anthropic.com", path=path, method=method)
    found = interpret(exchange, PriceBook.load(None))
    assert (found.operation, found.cost.state, found.cost.total_usd) == ("other", CostState.FREE, 0)


_json = st.recursive(
    st.none() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "user_id", "client_metadata", "session_id", "request", "conversation"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    headers=st.dictionaries(
        st.sampled_from(["user-agent", "x-codex-turn-metadata", "thread-id", "traceparent", "session-id"]),
        st.sampled_from(["claude-cli/1", "codex", "{", '{"session_id": 3}', "[]", "geminicli", "\udc00x"])
        | st.text(max_size=30),
    ),
    request_=_json,
)
def test_nothing_makes_it_raise(headers: dict[str, str], request_: Any) -> None:
    told = read_agent(
        [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in headers.items()], request_
    )
    assert len(told.session_id) <= 128

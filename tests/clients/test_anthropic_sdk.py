"""The official `anthropic` client: it cannot tell heli from Anthropic, and the log tells what happened."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from anthropic import Anthropic

from heli.schema.exchange import Outcome
from heli.schema.usage import CostState
from tests.clients.endings import BothWays, Told

type Ways = Callable[..., BothWays]

MODEL = "claude-sonnet-4-6"
HELLO: list[Any] = [{"role": "user", "content": "Hello, heli!"}]
USAGE = {
    "input_tokens": 21,
    "cache_read_input_tokens": 5_000,
    "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "output_tokens": 393,
}
LEDGER = {
    "input_tokens": 21,
    "cache_read_tokens": 5_000,
    "cache_write_5m_tokens": 100,
    "cache_write_1h_tokens": 200,
    "output_tokens": 393,
}
COST_USD = Decimal("0.009033")
"""21 × $3 + 5,000 × $0.30 + 100 × $3.75 + 200 × $6 + 393 × $15 for a million each: 63 + 1,500 + 375 + 1,200
+ 5,895 millionths."""
TOOL: dict[str, Any] = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def message(client: Anthropic, headers: dict[str, str], **asked: Any) -> Told:
    asked = {"model": MODEL, "max_tokens": 1_000, "messages": HELLO} | asked
    raw = client.messages.with_raw_response.create(**asked, extra_headers=headers)
    return raw.parse(), raw.headers


def message_events(client: Anthropic, headers: dict[str, str], **asked: Any) -> Told:
    asked = {"model": MODEL, "max_tokens": 1_000, "messages": HELLO} | asked
    with client.messages.create(**asked, stream=True, extra_headers=headers) as stream:
        return list(stream), stream.response.headers


def message_stream(client: Anthropic, headers: dict[str, str], **asked: Any) -> Told:
    """The helper that puts the message together."""
    asked = {"model": MODEL, "max_tokens": 1_000, "messages": HELLO} | asked
    with client.messages.stream(**asked, extra_headers=headers) as stream:
        text = "".join(stream.text_stream)
        assert text == stream.get_final_text()
        return stream.get_final_message(), stream.response.headers


def known(usage: Any) -> dict[str, int]:
    return {name: count for name in usage.__struct_fields__ if (count := getattr(usage, name))}


@pytest.mark.parametrize("call", [message, message_events, message_stream])
def test_a_message_with_cache_usage_is_logged_to_the_last_digit(anthropic_ways: Ways, call: Any) -> None:
    passed = anthropic_ways()(call, usage=USAGE)
    row = passed.row
    assert (row.provider, row.operation, row.listener) == ("ANTHROPIC", "chat", "anthropic")
    assert (row.model, row.status, row.outcome) == (MODEL, 200, Outcome.COMPLETE)
    assert (row.origin, row.path) == ("https://api.anthropic.com", "/v1/messages")
    assert known(row.usage) == LEDGER
    assert (row.cost_state, row.cost_usd) == (CostState.EXACT, COST_USD)
    assert row.is_streaming == (call is not message)
    assert row.response_preview == "You said: Hello, heli!"
    assert row.provider_request_id == dict(passed.ending.headers)["request-id"]
    kept = passed.exchange.response_json
    assert kept["content"] == [{"type": "text", "text": "You said: Hello, heli!"}]
    assert kept["stop_reason"] == row.finish_reason == "end_turn"
    assert {name.lower(): value for name, value in passed.exchange.request_headers}["authorization"] == "***"
    assert "sk-ant-secret" not in str(passed.exchange)


@pytest.mark.parametrize("call", [message, message_events])
def test_tools_and_thinking(anthropic_ways: Ways, call: Any) -> None:
    passed = anthropic_ways()(
        lambda client, headers: call(client, headers, tools=[TOOL]), reasoning="It is about the weather."
    )
    assert (passed.row.tool_calls, passed.row.finish_reason) == (["get_weather"], "tool_use")
    thinking, tool_use = passed.exchange.response_json["content"]
    assert thinking["thinking"] == "It is about the weather."
    assert tool_use["input"] == {"city": "Hello, heli!"}


def test_counting_tokens_is_free(anthropic_ways: Ways) -> None:
    def count(client: Anthropic, headers: dict[str, str]) -> Told:
        raw = client.messages.with_raw_response.count_tokens(
            model=MODEL, messages=HELLO, extra_headers=headers
        )
        return raw.parse(), raw.headers

    row = anthropic_ways()(count).row
    assert (row.operation, row.path, row.status) == ("count_tokens", "/v1/messages/count_tokens", 200)
    assert (row.cost_state, row.cost_usd) == (CostState.FREE, 0)


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, "invalid_request"),
        (401, "auth"),
        (429, "rate_limit"),
        (500, "server_error"),
        (529, "overloaded"),
    ],
)
@pytest.mark.parametrize("call", [message, message_events])
def test_errors_of_the_provider_are_the_clients(
    anthropic_ways: Ways, call: Any, status: int, error_class: str
) -> None:
    extra = {"retry_after": 3} if status == 429 else {}
    passed = anthropic_ways()(call, status=status, text="Not today.", **extra)
    assert passed.ending.error is not None
    assert passed.ending.error["status"] == status
    assert (passed.row.status, passed.row.error_class) == (status, error_class)
    assert "Not today." in passed.row.error_message


def test_a_stream_that_breaks_off_keeps_what_it_cost(anthropic_ways: Ways) -> None:
    expected, ending, row = anthropic_ways().broken(
        message_events, drop="mid_sse", drop_with="fin", usage=USAGE
    )
    assert ending == expected
    assert row.outcome is Outcome.UPSTREAM_ERROR
    assert row.usage.input_tokens == 21
    assert row.usage.cache_read_tokens == 5_000
    assert row.cost_usd is not None
    assert row.cost_usd > Decimal("0.003")


def test_a_stall_that_the_client_gives_up_on(anthropic_ways: Ways) -> None:
    passed = anthropic_ways(timeout=0.6)(message, stall_s=8, stall_at="head")
    assert passed.ending.error is not None
    assert passed.ending.error["class"] == "anthropic.APITimeoutError"
    assert passed.row.outcome is Outcome.CLIENT_ABORTED
    assert passed.row.status is None

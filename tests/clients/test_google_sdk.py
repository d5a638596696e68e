"""The official `google-genai` client, through the gateway port that is told its target by a header."""

from decimal import Decimal
from typing import Any

import pytest
from google import genai
from google.genai import types

from heli.schema.exchange import Outcome
from heli.schema.usage import CostState
from tests.clients.endings import BothWays, Told, plain

TARGET = {"Helicone-Target-Url": "https://generativelanguage.googleapis.com"}
MODEL = "gemini-2.5-flash"
USAGE = {
    "promptTokenCount": 2_000,
    "cachedContentTokenCount": 1_500,
    "candidatesTokenCount": 80,
    "thoughtsTokenCount": 40,
    "totalTokenCount": 2_120,
}
LEDGER = {"input_tokens": 500, "cache_read_tokens": 1_500, "output_tokens": 80, "reasoning_tokens": 40}
COST_USD = Decimal("0.000495")
"""500 × $0.30 + 1,500 × $0.03 + (80 + 40) × $2.50 for a million each: 150 + 45 + 300 millionths."""


def config(headers: dict[str, str], **more: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers=headers), **more)


def generate(client: genai.Client, headers: dict[str, str], **more: Any) -> Told:
    told = client.models.generate_content(
        model=MODEL, contents="Hello, heli!", config=config(headers, **more)
    )
    assert told.sdk_http_response is not None
    return told, told.sdk_http_response.headers or {}


def stream(client: genai.Client, headers: dict[str, str], **more: Any) -> Told:
    pieces = list(
        client.models.generate_content_stream(
            model=MODEL, contents="Hello, heli!", config=config(headers, **more)
        )
    )
    assert pieces[0].sdk_http_response is not None
    return plain(pieces), pieces[0].sdk_http_response.headers or {}


def known(usage: Any) -> dict[str, int]:
    return {name: count for name in usage.__struct_fields__ if (count := getattr(usage, name))}


@pytest.mark.parametrize("call", [generate, stream])
def test_generated_content_is_logged_to_the_last_digit(google_ways: BothWays, call: Any) -> None:
    passed = google_ways(call, TARGET, usage=USAGE)
    row = passed.row
    assert (row.provider, row.operation, row.listener) == ("GOOGLE", "chat", "gateway")
    assert (row.model, row.status, row.outcome) == (MODEL, 200, Outcome.COMPLETE)
    assert row.origin == "https://generativelanguage.googleapis.com"
    assert row.is_streaming == (call is stream)
    assert known(row.usage) == LEDGER
    assert (row.cost_state, row.cost_usd) == (CostState.EXACT, COST_USD)
    assert (row.finish_reason, row.response_preview) == ("STOP", "You said: Hello, heli!")
    kept = passed.exchange.response_json
    assert "".join(part["text"] for part in kept["candidates"][0]["content"]["parts"]) == row.response_preview
    assert "AIza-secret" not in str(passed.exchange)


def test_functions_are_called(google_ways: BothWays) -> None:
    city = types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)})
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", parameters=city)])
    passed = google_ways(lambda client, headers: generate(client, headers, tools=[tool]), TARGET)
    assert passed.row.tool_calls == ["get_weather"]


@pytest.mark.parametrize(
    ("status", "error_class"), [(400, "invalid_request"), (429, "rate_limit"), (500, "server_error")]
)
@pytest.mark.parametrize("call", [generate, stream])
def test_errors_of_the_provider_are_the_clients(
    google_ways: BothWays, call: Any, status: int, error_class: str
) -> None:
    passed = google_ways(call, TARGET, status=status, text="Not today.")
    assert passed.ending.error is not None
    assert "Not today." in passed.ending.error["text"]
    assert (passed.row.status, passed.row.error_class) == (status, error_class)


def test_a_stream_that_breaks_off_never_ends_cleanly(google_ways: BothWays) -> None:
    expected, ending, row = google_ways.broken(stream, TARGET, drop="mid_sse", drop_with="fin")
    assert ending == expected
    assert row.outcome is Outcome.UPSTREAM_ERROR

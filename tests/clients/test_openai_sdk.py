"""The official `openai` client: it cannot tell heli from OpenAI, and the log tells what happened."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from openai import OpenAI

from heli.schema.exchange import Outcome
from heli.schema.usage import CostState, Usage
from tests.clients.endings import BothWays, Told, plain

type Ways = Callable[..., BothWays]

HELLO: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello, heli!"}]
USAGE = {
    "prompt_tokens": 1_200,
    "completion_tokens": 345,
    "total_tokens": 1_545,
    "prompt_tokens_details": {"cached_tokens": 1_024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 100, "audio_tokens": 0},
}
LEDGER = Usage(
    input_tokens=176, cache_read_tokens=1_024, output_tokens=245, reasoning_tokens=100,
    input_audio_tokens=0, output_audio_tokens=0,
)  # fmt: skip
"""`USAGE` in counts that do not overlap."""
GPT_4O_USD = Decimal("0.00517")
"""176 × $2.50 + 1,024 × $1.25 + (245 + 100) × $10.00, each for a million: 440 + 1,280 + 3,450 millionths."""
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def known(usage: Usage) -> dict[str, Any]:
    """The counts of a ledger that say more than nothing: an unknown audio count is as good as none."""
    return {name: count for name in usage.__struct_fields__ if (count := getattr(usage, name))}


def chat(client: OpenAI, headers: dict[str, str], **asked: Any) -> Told:
    asked = {"model": "gpt-4o", "messages": HELLO} | asked
    raw = client.chat.completions.with_raw_response.create(**asked, extra_headers=headers)
    return raw.parse(), raw.headers


def chat_stream(client: OpenAI, headers: dict[str, str], **asked: Any) -> Told:
    asked = {"model": "gpt-4o", "messages": HELLO} | asked
    with client.chat.completions.create(**asked, stream=True, extra_headers=headers) as stream:
        return list(stream), stream.response.headers


def respond(client: OpenAI, headers: dict[str, str], **asked: Any) -> Told:
    raw = client.responses.with_raw_response.create(model="gpt-4o", **asked, extra_headers=headers)
    return raw.parse(), raw.headers


def respond_stream(client: OpenAI, headers: dict[str, str], **asked: Any) -> Told:
    with client.responses.create(model="gpt-4o", **asked, stream=True, extra_headers=headers) as stream:
        return list(stream), stream.response.headers


def test_a_chat_is_logged_to_the_last_token_and_digit(openai_ways: Ways) -> None:
    passed = openai_ways()(chat, usage=USAGE, delay_s=0.15)
    row = passed.row
    assert passed.ending.value["choices"][0]["message"]["content"] == "You said: Hello, heli!"
    assert (row.provider, row.operation, row.listener) == ("OPENAI", "chat", "openai")
    assert (row.model, row.request_model, row.response_model) == ("gpt-4o", "gpt-4o", "gpt-4o")
    assert (row.status, row.outcome, row.finish_reason, row.error_class) == (
        200,
        Outcome.COMPLETE,
        "stop",
        "",
    )
    assert (row.origin, row.method, row.path) == ("https://api.openai.com", "POST", "/v1/chat/completions")
    assert known(row.usage) == known(LEDGER)
    assert (row.cost_state, row.cost_usd) == (CostState.EXACT, GPT_4O_USD)
    assert sum(row.cost_parts_usd.values()) == GPT_4O_USD
    assert row.price_source.startswith("genai-prices ")
    assert row.duration_ms is not None
    assert 150 <= row.duration_ms <= passed.seconds * 1000
    assert not row.is_streaming
    assert "Hello, heli!" in row.request_preview
    assert row.response_preview == "You said: Hello, heli!"
    assert row.provider_request_id == dict(passed.ending.headers)["x-request-id"]
    assert row.rate_limits["x-ratelimit-remaining-requests"] == "9999"


def test_the_whole_exchange_is_kept_without_the_key(openai_ways: Ways) -> None:
    passed = openai_ways()(chat)
    exchange = passed.exchange
    assert exchange.request_json == {"model": "gpt-4o", "messages": HELLO}
    kept = exchange.response_json
    assert {name: kept[name] for name in ("id", "model", "object")} == {
        name: passed.ending.value[name] for name in ("id", "model", "object")
    }
    assert kept["choices"][0]["message"]["content"] == "You said: Hello, heli!"
    assert {name.lower(): value for name, value in exchange.request_headers}["authorization"] == "***"
    assert "sk-secret-of-the-user" not in str(exchange)


def test_a_stream_with_usage_is_exact(openai_ways: Ways) -> None:
    ways = openai_ways()
    passed = ways(
        lambda client, headers: chat_stream(client, headers, stream_options={"include_usage": True}),
        usage=USAGE, chunks=6, interval_ms=30, delay_s=0.1,
    )  # fmt: skip
    row = passed.row
    assert row.is_streaming
    assert known(row.usage) == known(LEDGER)
    assert (row.cost_state, row.cost_usd) == (CostState.EXACT, GPT_4O_USD)
    assert (row.finish_reason, row.response_preview) == ("stop", "You said: Hello, heli!")
    assert row.chunk_count >= 6
    assert passed.exchange.response_json["choices"][0]["message"]["content"] == "You said: Hello, heli!"
    assert passed.exchange.response_json["usage"]["prompt_tokens"] == 1_200


def test_times_of_a_stream_are_those_that_the_client_sees(openai_ways: Ways) -> None:
    passed = openai_ways()(chat_stream, chunks=8, interval_ms=40, delay_s=0.2)
    row = passed.row
    assert row.duration_ms is not None
    assert row.time_to_first_token_ms is not None
    assert row.duration_ms >= 200 + 8 * 40
    assert row.duration_ms <= passed.seconds * 1000
    assert 200 <= row.time_to_first_token_ms <= row.duration_ms - 6 * 40
    assert len(passed.exchange.chunks) == row.chunk_count
    moments = [moment for moment, _ in passed.exchange.chunks]
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] >= 7 * 40_000


def test_a_stream_without_usage_is_an_estimate_and_says_so(openai_ways: Ways) -> None:
    row = openai_ways()(chat_stream).row
    assert row.cost_state is CostState.ESTIMATED
    assert row.cost_reason
    assert row.cost_usd is not None
    assert row.usage.total_input_tokens is not None
    assert 3 <= row.usage.total_input_tokens <= 40
    assert row.usage.total_output_tokens is not None
    assert 3 <= row.usage.total_output_tokens <= 20
    by_hand = row.usage.total_input_tokens * Decimal("0.0000025") + row.usage.total_output_tokens * Decimal(
        "0.00001"
    )
    assert row.cost_usd == by_hand


@pytest.mark.parametrize("call", [chat, chat_stream])
def test_tools_are_called_and_named_in_the_log(openai_ways: Ways, call: Any) -> None:
    passed = openai_ways()(lambda client, headers: call(client, headers, tools=[WEATHER]))
    row = passed.row
    assert (row.finish_reason, row.tool_calls) == ("tool_calls", ["get_weather"])
    (tool_call,) = passed.exchange.response_json["choices"][0]["message"]["tool_calls"]
    assert tool_call["function"] == {"name": "get_weather", "arguments": '{"city": "Hello, heli!"}'}


def test_the_result_of_a_tool_goes_back(openai_ways: Ways) -> None:
    messages: list[Any] = [
        *HELLO,
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    passed = openai_ways()(lambda c, headers: chat(c, headers, messages=messages, tools=[WEATHER]))
    assert passed.row.response_preview == "The tool said: sunny"
    conversation = passed.exchange.request_json["messages"]
    assert conversation == messages


def test_images_pass_byte_for_byte(openai_ways: Ways) -> None:
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            ],
        }
    ]
    passed = openai_ways()(lambda client, headers: chat(client, headers, messages=messages))
    assert "image/png, 70 bytes" in passed.ending.value["choices"][0]["message"]["content"]
    assert "What is this?" in passed.row.request_preview
    assert passed.exchange.request_json["messages"] == messages


def test_structured_output_is_parsed(openai_ways: Ways) -> None:
    from pydantic import BaseModel

    class City(BaseModel):
        name: str

    def parse(client: OpenAI, headers: dict[str, str]) -> Told:
        raw = client.chat.completions.with_raw_response.parse(
            model="gpt-4o", messages=HELLO, response_format=City, extra_headers=headers
        )
        return plain(raw.parse().choices[0].message.parsed), raw.headers

    assert openai_ways()(parse).ending.value == {"name": "Hello, heli!"}


RESPONSES_USAGE = {
    "input_tokens": 1_200,
    "input_tokens_details": {"cached_tokens": 1_024},
    "output_tokens": 345,
    "output_tokens_details": {"reasoning_tokens": 100},
    "total_tokens": 1_545,
}


@pytest.mark.parametrize("call", [respond, respond_stream])
def test_responses(openai_ways: Ways, call: Any) -> None:
    passed = openai_ways()(
        lambda client, headers: call(client, headers, input="Hello, heli!", instructions="Be brief."),
        usage=RESPONSES_USAGE,
    )
    row = passed.row
    assert (row.operation, row.model, row.status) == ("response", "gpt-4o", 200)
    assert row.is_streaming == (call is respond_stream)
    assert known(row.usage) == known(LEDGER)
    assert (row.cost_state, row.cost_usd) == (CostState.EXACT, GPT_4O_USD)
    assert row.response_preview == "You said: Hello, heli!"
    kept = passed.exchange.response_json
    assert kept["output"][0]["content"][0]["text"] == "You said: Hello, heli!"
    assert kept["status"] == "completed"


def test_responses_call_tools_in_a_stream(openai_ways: Ways) -> None:
    tool = {"type": "function", **WEATHER["function"]}
    passed = openai_ways()(lambda client, headers: respond_stream(client, headers, input="Hi", tools=[tool]))
    assert passed.row.tool_calls == ["get_weather"]
    assert passed.exchange.response_json["output"][0]["arguments"] == '{"city": "Hi"}'


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_embeddings(openai_ways: Ways, encoding_format: Any) -> None:
    def embed(client: OpenAI, headers: dict[str, str]) -> Told:
        raw = client.embeddings.with_raw_response.create(
            model="text-embedding-3-small", input=["one", "two"], encoding_format=encoding_format,
            extra_headers=headers,
        )  # fmt: skip
        return raw.parse(), raw.headers

    passed = openai_ways()(embed, usage={"prompt_tokens": 123_456, "total_tokens": 123_456})
    row = passed.row
    assert len(passed.ending.value["data"]) == 2
    assert (row.operation, row.model) == ("embedding", "text-embedding-3-small")
    assert known(row.usage) == {"input_tokens": 123_456}
    assert (row.cost_state, row.cost_usd) == (CostState.EXACT, Decimal("0.00246912"))  # × $0.02 for a million


def test_the_list_of_models_is_free(openai_ways: Ways) -> None:
    def models(client: OpenAI, headers: dict[str, str]) -> Told:
        raw = client.models.with_raw_response.list(extra_headers=headers)
        return plain(raw.parse().data), raw.headers

    row = openai_ways()(models).row
    assert (row.method, row.path, row.status) == ("GET", "/v1/models", 200)
    assert row.cost_state is CostState.FREE


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
def test_compressed_replies_are_read(openai_ways: Ways, encoding: str) -> None:
    if encoding in ("br", "zstd"):
        pytest.importorskip({"br": "brotli", "zstd": "zstandard"}[encoding])
    passed = openai_ways()(chat, encoding=encoding, usage=USAGE)
    assert known(passed.row.usage) == known(LEDGER)
    assert passed.exchange.response_json["choices"][0]["message"]["content"] == "You said: Hello, heli!"


@pytest.mark.parametrize(
    ("status", "error_class"),
    [(400, "invalid_request"), (401, "auth"), (404, "not_found"), (429, "rate_limit"), (500, "server_error")],
)
@pytest.mark.parametrize("call", [chat, chat_stream])
def test_errors_of_the_provider_are_the_clients(
    openai_ways: Ways, call: Any, status: int, error_class: str
) -> None:
    extra = {"retry_after": 7} if status == 429 else {}
    passed = openai_ways()(call, status=status, text="No, for a reason.", **extra)
    assert passed.ending.error is not None
    assert passed.ending.error["status"] == status
    assert ("retry-after", "7") in passed.ending.headers or status != 429
    row = passed.row
    assert (row.status, row.outcome, row.error_class) == (status, Outcome.COMPLETE, error_class)
    assert "No, for a reason." in row.error_message
    assert row.cost_usd in (None, 0)
    assert passed.exchange.response_json["error"]["message"] == "No, for a reason."


@pytest.mark.parametrize("drop", ["before_head", "after_head", "mid_body"])
@pytest.mark.parametrize("drop_with", ["fin", "rst"])
def test_a_dropped_connection_is_an_error_of_the_same_kind(
    openai_ways: Ways, drop: str, drop_with: str
) -> None:
    ways = openai_ways()
    expected, ending, row = ways.broken(chat, drop=drop, drop_with=drop_with)
    if drop == "before_head":
        assert ending["class"] == "openai.InternalServerError"
        assert row.status == 502
    else:
        assert ending["class"] == expected["class"] == "openai.APIConnectionError"
    assert row.outcome is Outcome.UPSTREAM_ERROR
    assert row.error_class == "upstream_error"


@pytest.mark.parametrize("drop_with", ["fin", "rst"])
def test_a_stream_that_breaks_off_never_ends_cleanly(openai_ways: Ways, drop_with: str) -> None:
    expected, ending, row = openai_ways().broken(chat_stream, drop="mid_sse", drop_with=drop_with)
    assert ending["class"].split(".")[0] == expected["class"].split(".")[0]
    if drop_with == "fin":
        assert ending == expected
    assert row.outcome is Outcome.UPSTREAM_ERROR
    assert row.response_preview.startswith("You")


def test_a_stall_that_the_client_gives_up_on(openai_ways: Ways) -> None:
    ways = openai_ways(timeout=0.6)
    passed = ways(chat, stall_s=8, stall_at="body")
    assert passed.ending.error is not None
    assert passed.ending.error["class"] == "openai.APITimeoutError"
    assert passed.row.outcome is Outcome.CLIENT_ABORTED
    assert passed.row.error_class == "client_aborted"
    entry = ways.standin.wait_for(
        lambda standin: standin.journal()[1]["peer_left_at"] and standin.journal()[1]
    )
    assert entry["peer_left_at"] - entry["started_at"] < 0.6 + 2


def test_retries_of_the_client_are_calls_of_their_own(openai_ways: Ways, openai_client: Any) -> None:
    ways = openai_ways()
    client = openai_client(ways.heli.openai, max_retries=2)
    with pytest.raises(Exception, match="429") as caught:
        chat(client, {"x-standin": '{"status": 429, "retry_after": 0.05}', "Helicone-User-Id": "retrier"})
    assert type(caught.value).__name__ == "RateLimitError"
    assert len(ways.standin.journal()) == 3
    last = caught.value.response.headers["helicone-id"]  # type: ignore[attr-defined]
    ways.heli.logged(last)
    assert len(ways.heli.client.requests("user:retrier since:1m status:429").requests) == 3


def test_legacy_completions(openai_ways: Ways) -> None:
    def complete(client: OpenAI, headers: dict[str, str]) -> Told:
        raw = client.completions.with_raw_response.create(
            model="gpt-3.5-turbo-instruct", prompt="Hello", extra_headers=headers
        )
        return raw.parse(), raw.headers

    row = openai_ways()(complete, usage={"prompt_tokens": 1_000, "completion_tokens": 100}).row
    assert (row.operation, row.model) == ("completion", "gpt-3.5-turbo-instruct")
    assert (row.cost_state, row.cost_usd) == (
        CostState.EXACT,
        Decimal("0.0017"),
    )  # 1,000 × $1.50 + 100 × $2.00


def test_a_large_prompt_passes_and_is_kept_whole(openai_ways: Ways) -> None:
    words = "Ein großer Text über den Äquator. 🙂 " * 60_000
    passed = openai_ways()(
        lambda client, headers: chat(client, headers, messages=[{"role": "user", "content": words}]),
        text="Aha.",
    )
    assert passed.row.request_bytes > 2_000_000
    assert passed.exchange.request_json["messages"][0]["content"] == words
    assert not passed.exchange.request_body_truncated
    assert len(passed.row.request_preview) <= 300


async def _ask_many(base_url: str, count: int) -> list[Any]:
    import asyncio

    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="k", base_url=f"{base_url}/v1", max_retries=0) as client:

        async def ask(number: int) -> str:
            stream = await client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": f"number {number}"}], stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        return await asyncio.gather(*(ask(number) for number in range(count)))


def test_many_streams_at_once_do_not_mix(openai_ways: Ways) -> None:
    import asyncio

    ways = openai_ways()
    told = asyncio.run(_ask_many(ways.heli.openai, 40))
    assert told == [f"You said: number {number}" for number in range(40)]

"""Interpretation bears whatever was captured, and its time grows no faster than the bytes."""

import gzip
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heli.providers import read_conversation, rebuild_reply
from heli.providers.interpretation import Interpretation, interpret
from heli.providers.pricing.price_book import PriceBook
from heli.providers.recognition import recognise
from heli.schema.exchange import Exchange, Outcome
from heli.schema.usage import CostState
from tests.providers.exchanges import RECORDINGS, an_exchange, read_recording, recorded, sse


def _format_name(exchange: Exchange) -> str:
    format = recognise(exchange).format
    return f"{type(format).__name__}-{format.operation}"


RECORDED = [read_recording(file)[0] for file in recorded()]
A_CHAT = read_recording(RECORDINGS / "anthropic" / "messages.json")[0]
PLACES = {
    name: sorted({(each.origin, each.path) for each in exchanges})
    for name, exchanges in itertools.groupby(sorted(RECORDED, key=_format_name), _format_name)
}
"""`{format: [(origin, path), …]}`, as the code that must bear all this is one for each format."""
KEYS = """
model messages content role type text choices delta message usage prompt_tokens completion_tokens total_tokens
prompt_tokens_details cached_tokens input_tokens output_tokens cache_creation index tool_calls function name
arguments candidates parts usageMetadata promptTokenCount output input status error response eval_count done
cost system tools contents item content_block
"""
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["assistant", "user", "text", "tool_use", "message_start", "content_block_delta", "error", "message"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=5)
    ),
    max_leaves=25,
)


def _check(found: Interpretation) -> None:
    """What must hold of every interpretation, and that it can be stored."""
    assert (found.cost.total_usd is None) == (found.cost.state is CostState.UNKNOWN)
    assert found.cost.state is not CostState.UNKNOWN or found.cost.reason
    assert sum(found.cost.parts_usd.values()) == (found.cost.total_usd or 0)
    ledger = msgspec.to_builtins(found.usage)
    assert all(count is None or isinstance(count, dict) or count >= 0 for count in ledger.values())
    assert max(len(found.request_preview), len(found.response_preview)) <= 300
    assert msgspec.json.decode(msgspec.json.encode(found))


@pytest.mark.parametrize("format", PLACES)
@settings(max_examples=25)
@given(
    request=st.binary(max_size=200),
    reply=st.binary(max_size=400),
    is_sse=st.booleans(),
    choice=st.integers(0),
)
def test_any_bytes_are_borne(
    format: str, request: bytes, reply: bytes, is_sse: bool, choice: int, prices: PriceBook
) -> None:
    origin, path = PLACES[format][choice % len(PLACES[format])]
    body = b"data: " + reply if is_sse else reply

    _check(interpret(an_exchange(request, body, origin=origin, path=path), prices))


@pytest.mark.parametrize("format", PLACES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    request=JSON,
    replies=st.lists(JSON, min_size=1, max_size=4),
    form=st.sampled_from(["json", "sse", "lines"]),
    choice=st.integers(0),
)
def test_any_json_is_borne(
    format: str, request: Any, replies: list[Any], form: str, choice: int, prices: PriceBook
) -> None:
    origin, path = PLACES[format][choice % len(PLACES[format])]
    asked = json.dumps(request).encode("utf-8", "replace")
    body = {
        "json": lambda: json.dumps(replies if len(replies) > 1 else replies[0]).encode(),
        "sse": lambda: b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in replies),
        "lines": lambda: b"".join(b"%s\n" % json.dumps(each).encode() for each in replies),
    }[form]()
    exchange = an_exchange(asked, body, origin=origin, path=path)

    found = interpret(exchange, prices)

    _check(found)
    assert "Error:" not in found.interpret_error, "caught by the last resort"
    rebuild_reply(exchange)
    read_conversation(exchange)


@settings(max_examples=200)
@given(
    exchange=st.sampled_from(RECORDED),
    side=st.sampled_from(["request_body", "response_body"]),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12)), min_size=1, max_size=4
    ),
)
def test_damaged_recordings_are_borne(
    exchange: Exchange, side: str, edits: list[tuple[float, int, bytes]], prices: PriceBook
) -> None:
    body = getattr(exchange, side)
    for place, length, inserted in edits:
        start = int(place * len(body))
        body = body[:start] + inserted + body[start + length :]

    found = interpret(msgspec.structs.replace(exchange, **{side: body}), prices)

    _check(found)
    assert "Error:" not in found.interpret_error, "caught by the last resort"


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("status", [None, 200, 418, 500, 529])
def test_every_outcome_and_status_is_borne(outcome: Outcome, status: int | None, prices: PriceBook) -> None:
    for exchange in RECORDED[::7]:
        changed = msgspec.structs.replace(exchange, outcome=outcome, response_status=status)
        found = interpret(changed, prices)
        _check(found)
        assert bool(found.error_class) or found.outcome is Outcome.COMPLETE
        assert found.outcome in {outcome, Outcome.COMPLETE}


def test_a_dropped_body_is_told(prices: PriceBook) -> None:
    exchange = msgspec.structs.replace(A_CHAT, request_body=b"", response_body=b"", bodies_dropped=True)

    found = interpret(exchange, prices)

    assert found.interpret_error == "the bodies were dropped, as the spool was nearly full"
    assert found.cost.state is CostState.UNKNOWN


def test_a_reply_that_was_cut_by_the_recorder_is_unknown_and_not_guessed(prices: PriceBook) -> None:
    exchange = an_exchange(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}, b'{"choices": ['
    )

    found = interpret(msgspec.structs.replace(exchange, response_body_bytes=10**7), prices)

    assert found.cost.state is CostState.UNKNOWN
    assert found.interpret_error.endswith("(it was cut)")


def test_the_override_of_the_caller_decides_the_price(prices: PriceBook) -> None:
    reply = {
        "model": "my-alias",
        "choices": [{"finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000_000},
    }

    found = interpret(an_exchange({"model": "my-alias"}, reply), prices, model_override="gpt-4o-mini")

    assert str(found.cost.total_usd.normalize() if found.cost.total_usd else None) == "0.15"


def test_names_from_outside_are_cut_and_cleaned(prices: PriceBook) -> None:
    calls = [{"function": {"name": f"\x1b[2J{n}"}} for n in range(3_000)]
    reply = {
        "model": "m\nodel" * 9_000,
        "choices": [{"message": {"tool_calls": calls}}],
        "usage": "x" * 99_999,
    }

    found = interpret(an_exchange({"model": "\x07bell", "user": "u" * 5_000}, reply), prices)

    assert (len(found.response_model), len(found.body_user), len(found.tool_calls)) == (256, 256, 1000)
    assert found.request_model == "bell"
    assert found.tool_calls[0] == "[2J0"
    assert (found.provider_usage, found.interpret_error) == ("", "the usage object is too large to keep")


def test_a_bug_of_ours_loses_no_record() -> None:
    class BrokenBook(PriceBook):
        def price(self, *arguments: Any, **options: Any) -> Any:
            raise ZeroDivisionError("boom")

    found = interpret(A_CHAT, BrokenBook())

    assert found.provider == recognise(A_CHAT).provider
    assert found.interpret_error == "ZeroDivisionError: boom"
    assert found.response_body == A_CHAT.response_body


def test_bodies_come_without_their_encodings(prices: PriceBook) -> None:
    reply = gzip.compress(b'{"model": "gpt-4o"}')

    found = interpret(an_exchange({"model": "gpt-4o"}, reply, headers={"Content-Encoding": "gzip"}), prices)

    assert (found.request_body, found.response_body) == (b'{"model": "gpt-4o"}', b'{"model": "gpt-4o"}')


# Time

OPENAI: dict[str, Any] = {}
ANTHROPIC = {"origin": "https://api.anthropic.com", "path": "/v1/messages"}
GEMINI = {
    "origin": "https://generativelanguage.googleapis.com",
    "path": "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
}
RESPONSES = {"path": "/v1/responses"}
OLLAMA = {"origin": "http://localhost:11434", "path": "/api/chat"}

GROWING: dict[str, tuple[dict[str, Any], Callable[[int], bytes]]] = {
    "one line of text": (
        OPENAI,
        lambda n: b'data: {"choices":[{"delta":{"content":"' + b"x" * n + b'"}}]}\n\n',
    ),
    "one line of blanks": (OPENAI, lambda n: b"data:" + b" " * n),
    "empty lines": (OPENAI, lambda n: b"data: {}\n" + b"\n" * n),
    "open brackets": (GEMINI, lambda n: b"[" * n),
    "open brackets in SSE": (OPENAI, lambda n: b"data: " + b"[" * n),
    "digits": (OPENAI, lambda n: b'{"usage": ' + b"1" * n),
    "quotes": (GEMINI, lambda n: b'["' + b'\\"' * (n // 2)),
    "backslashes": (GEMINI, lambda n: b'[{"a": "' + b"\\" * n),
    "small objects": (GEMINI, lambda n: b"[" + b'{"candidates":[]},' * (n // 18)),
    "lines of JSON": (OLLAMA, lambda n: b'{"message":{"content":"x"}}\n' * (n // 29)),
    "chat deltas": (OPENAI, lambda n: b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n' * (n // 49)),
    "tool deltas": (
        OPENAI,
        lambda n: (
            b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"x"}}]}}]}\n\n'
            * (n // 90)
        ),
    ),
    "many tools": (
        OPENAI,
        lambda n: b"".join(
            b'data: {"choices":[{"delta":{"tool_calls":[{"index":%d,"function":{"name":"f"}}]}}]}\n\n' % i
            for i in range(n // 90)
        ),
    ),
    "anthropic deltas": (
        ANTHROPIC,
        lambda n: (
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}\n\n'
            * (n // 90)
        ),
    ),
    "anthropic citations": (
        ANTHROPIC,
        lambda n: (
            b'data: {"type":"content_block_delta","delta":{"type":"citations_delta","citation":1}}\n\n'
            * (n // 86)
        ),
    ),
    "message deltas": (
        ANTHROPIC,
        lambda n: b'data: {"type":"message_delta","usage":{"a":1}}\n\n' * (n // 48),
    ),
    "response deltas": (
        RESPONSES,
        lambda n: b'data: {"type":"response.output_text.delta","output_index":0,"delta":"x"}\n\n' * (n // 77),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GROWING)
def test_time_grows_no_faster_than_the_reply(name: str, prices: PriceBook) -> None:
    place, grow = GROWING[name]
    small, large = 50_000, 400_000

    limit = 8 * 3 * max(_seconds(grow(small), place, prices), 0.001)

    assert _seconds(grow(large), place, prices, limit) < limit, "eight times the bytes take much more time"


def _seconds(body: bytes, place: dict[str, Any], prices: PriceBook, enough: float = 0) -> float:
    """Processor time, the best of three, or the first that is less than `enough`."""
    exchange = an_exchange({"model": "m", "messages": [{"role": "user", "content": "x"}]}, body, **place)
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        _check(interpret(exchange, prices))
        best = min(best, time.process_time() - started)
        if best < enough:
            break
    return best


@pytest.mark.slow
def test_a_line_of_ten_megabytes_is_read(prices: PriceBook) -> None:
    text = "word " * 2_000_000

    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    found = interpret(an_exchange(asked, sse({"choices": [{"delta": {"content": text}}]})), prices)

    assert found.response_preview.startswith("word word")
    assert found.usage.output_tokens == pytest.approx(2_000_000, rel=0.01)


@pytest.mark.slow
def test_a_request_of_many_messages_is_read(prices: PriceBook) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": f"message {n}"}]} for n in range(20_000)
    ]

    started = time.process_time()
    found = interpret(an_exchange({"messages": messages}, {"choices": []}), prices)

    assert found.request_preview == "message 19999"
    assert time.process_time() - started < 5


def test_thinking_of_a_cut_stream_is_counted_once(prices: PriceBook) -> None:
    """The running count of output includes it, and does not tell it apart."""

    def chunk(delta: dict[str, str], **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return {"object": "chat.completion.chunk", "model": "deepseek-reasoner", "choices": [choice], **more}

    thought = chunk({"reasoning_content": "Is two a prime? It has no divisor but one and itself. " * 30})
    said = chunk({"content": "Two"}, usage={"prompt_tokens": 10, "completion_tokens": 401})
    exchange = an_exchange(
        {"model": "deepseek-reasoner", "stream": True, "messages": [{"role": "user", "content": "A prime?"}]},
        sse(thought, said),
        origin="https://api.deepseek.com",
        content_type="text/event-stream",
        outcome=Outcome.CLIENT_ABORTED,
    )

    usage = interpret(exchange, prices).usage

    assert usage.total_output_tokens == pytest.approx(401, rel=0.3)
    assert (usage.output_tokens or 0) < 100


A_RESULT = {"status_code": 200, "body": {"model": "gpt-4o-mini", "usage": {"prompt_tokens": 1000}}}


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({}, CostState.EXACT),
        ({"response_body_bytes": 10**6}, CostState.ESTIMATED),
        ({"outcome": Outcome.CLIENT_ABORTED}, CostState.ESTIMATED),
        ({"status": 206}, CostState.ESTIMATED),
    ],
)
def test_a_part_of_a_batch_is_not_told_as_the_whole(
    prices: PriceBook, told: dict[str, Any], state: CostState
) -> None:
    """Also where it ends with a line."""
    lines = json.dumps({"custom_id": "a", "response": A_RESULT, "error": None}).encode() + b"\n"
    exchange = an_exchange(None, lines * 2, method="GET", path="/v1/files/file-1/content", **told)

    found = interpret(exchange, prices)

    assert (found.usage.input_tokens, found.cost.state) == (2000, state)

"""A stream, whole or cut, becomes the object that the provider would have sent without streaming."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heli.providers import rebuild_reply
from heli.providers.interpretation import interpret
from heli.providers.pricing.price_book import PriceBook
from heli.schema.exchange import Exchange, Outcome
from tests.providers.exchanges import RECORDINGS, an_exchange, read_recording, recorded, sse

ANTHROPIC = {"origin": "https://api.anthropic.com", "path": "/v1/messages"}
STREAMED = [file for file in recorded() if "stream" in file.stem]


def test_a_chat_of_two_choices() -> None:
    body = sse(
        {"id": "c", "model": "m", "choices": [{"index": 1, "delta": {"role": "assistant", "content": "b"}}]},
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]},
        {"choices": [{"index": 0, "delta": {"content": "A"}, "logprobs": {"content": [1]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": {"content": [2]}}]},
        {"choices": [], "usage": {"total_tokens": 3}},
        done=True,
    )

    assert rebuild_reply(an_exchange({}, body)) == {
        "id": "c",
        "model": "m",
        "object": "chat.completion",
        "usage": {"total_tokens": 3},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "aA"},
                "finish_reason": "stop",
                "logprobs": {"content": [1, 2]},
            },
            {"index": 1, "message": {"role": "assistant", "content": "b"}, "finish_reason": None},
        ],
    }


def test_a_chat_with_tools_audio_and_reasoning() -> None:
    def delta(**fields: object) -> dict[str, object]:
        return {"choices": [{"index": 0, "delta": fields}]}

    def call(index: int | None, arguments: str, **fields: object) -> dict[str, object]:
        numbered = {} if index is None else {"index": index}
        return {"tool_calls": [{**numbered, **fields, "function": {"arguments": arguments}}]}

    body = sse(
        delta(role="assistant", content=None, reasoning_content="Hm"),
        delta(reasoning_content="m."),
        delta(audio={"id": "a", "data": "AA", "transcript": "Hel"}),
        delta(audio={"data": "BB", "transcript": "lo"}),
        delta(
            tool_calls=[
                {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}
            ]
        ),
        delta(**call(0, '{"x"')),
        delta(**call(0, ": 1}")),
    )

    message = rebuild_reply(an_exchange({}, body))["choices"][0]["message"]

    assert message == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hmm.",
        "audio": {"id": "a", "data": "AABB", "transcript": "Hello"},
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
    }


def test_tool_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    def call(**fields: object) -> dict[str, object]:
        return {"choices": [{"delta": {"tool_calls": [fields]}}]}

    body = sse(
        call(id="1", function={"name": "f", "arguments": "{}"}),
        call(id="2", function={"name": "g", "arguments": '{"a"'}),
        call(function={"arguments": ": 1}"}),
    )

    calls = rebuild_reply(an_exchange({}, body))["choices"][0]["message"]["tool_calls"]

    assert [(each["id"], each["function"]["arguments"]) for each in calls] == [("1", "{}"), ("2", '{"a": 1}')]


def test_an_anthropic_message_with_every_kind_of_delta() -> None:
    body = sse(
        {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 5}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi"}},
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "citations_delta", "citation": {"n": 1}},
        },
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "name": "f", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": '{"x": '},
        },
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": "1}"},
        },
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    )

    assert rebuild_reply(an_exchange({}, body, **ANTHROPIC)) == {
        "id": "m",
        "usage": {"input_tokens": 5, "output_tokens": 9},
        "stop_reason": "tool_use",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "text", "text": "Hi", "citations": [{"n": 1}]},
            {"type": "tool_use", "name": "f", "input": {"x": 1}},
        ],
    }


def test_arguments_that_broke_off_are_kept_as_they_are() -> None:
    body = sse(
        {"type": "message_start", "message": {"id": "m"}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "name": "f", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"x'},
        },
    )

    assert rebuild_reply(an_exchange({}, body, **ANTHROPIC))["content"] == [
        {"type": "tool_use", "name": "f", "input": {}, "partial_json": '{"x'}
    ]


def test_a_reply_that_was_not_streamed_is_itself() -> None:
    assert rebuild_reply(an_exchange({}, {"choices": [], "id": "c"})) == {"choices": [], "id": "c"}


@pytest.mark.parametrize("body", [b"", b"<html>", b"\x00\xff"])
def test_what_is_not_json_is_none(body: bytes) -> None:
    assert rebuild_reply(an_exchange({}, body)) is None


@settings(max_examples=25)
@pytest.mark.parametrize("file", STREAMED, ids=lambda file: f"{file.parent.name}/{file.stem}")
@given(data=st.data())
def test_a_stream_cut_anywhere_keeps_a_beginning_of_the_text(
    file: Path, data: st.DataObject, prices: PriceBook
) -> None:
    whole, _ = read_recording(file)
    cut = data.draw(st.integers(0, len(whole.response_body)))

    found = interpret(_cut(whole, cut), prices)

    heard = interpret(whole, prices)
    assert heard.response_text.startswith(found.response_text) or found.tool_calls
    if found.outcome is Outcome.COMPLETE:
        assert (found.response_text, found.usage, found.cost) == (
            heard.response_text,
            heard.usage,
            heard.cost,
        )
        assert found.error_class == heard.error_class
    else:
        assert found.error_class == "client_aborted"


LAST_WORDS = (
    b"data: [DONE]",
    b"event: message_stop",
    b"event: response.completed",
    b'"done":true',
    b'"done": true',
)


def _last_word(file: Path) -> int:
    """Where it begins in the reply; -1 for streams that have none."""
    body = read_recording(file)[0].response_body
    return max(body.rfind(word) for word in LAST_WORDS)


ENDING = [file for file in STREAMED if _last_word(file) >= 0]


@pytest.mark.parametrize("file", ENDING, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_caller_who_leaves_behind_the_last_word_has_heard_all(file: Path, prices: PriceBook) -> None:
    whole, _ = read_recording(file)

    before = interpret(_cut(whole, _last_word(file)), prices)
    behind = interpret(_cut(whole, len(whole.response_body)), prices)

    assert before.outcome is Outcome.CLIENT_ABORTED
    assert behind.outcome is Outcome.COMPLETE
    assert behind.error_class == interpret(whole, prices).error_class


def test_a_caller_who_leaves_behind_an_inner_bracket_has_not_heard_all(prices: PriceBook) -> None:
    whole, _ = read_recording(RECORDINGS / "google" / "stream_array.json")
    brackets = [place + 1 for place, byte in enumerate(whole.response_body) if byte == ord("]")]

    *inner, last = [interpret(_cut(whole, length), prices).outcome for length in brackets]

    assert set(inner) == {Outcome.CLIENT_ABORTED}
    assert last is Outcome.COMPLETE


def _cut(exchange: Exchange, length: int) -> Exchange:
    return msgspec.structs.replace(
        exchange,
        response_body=exchange.response_body[:length],
        response_body_bytes=length,
        response_chunks=[(1_000, length)],
        outcome=Outcome.CLIENT_ABORTED,
    )

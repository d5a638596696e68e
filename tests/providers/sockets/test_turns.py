"""Each response on a WebSocket is a call of its own: asked what, answered what, when, at what cost."""

import base64
import random
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heli.providers import PriceBook, calls_of, find_call, interpret, read_conversation
from heli.providers.interpretation import Interpretation
from heli.providers.sockets.turns import MAX_KEPT_BYTES, MAX_TURN_BYTES, MAX_TURNS
from heli.schema.conversation import PartKind
from heli.schema.exchange import Exchange, Outcome
from heli.schema.usage import CostState
from tests.providers.exchanges import an_exchange
from tests.providers.sockets.sockets import Capture, usage
from tests.standin.websocket import CLOSE, PING


@pytest.fixture(scope="module")
def prices() -> PriceBook:
    return PriceBook.load(None)


def read(exchange: Exchange, prices: PriceBook) -> list[tuple[Exchange, Interpretation]]:
    return [(call, interpret(call, prices)) for call in calls_of(exchange)]


def ask(text: str) -> list[dict[str, Any]]:
    return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}]


def a_codex_capture(**how: Any) -> Capture:
    """As Codex speaks: it warms up, then asks twice, going on from the reply before."""
    capture = Capture("/v1/responses", **how)
    capture.asks(5, type="response.create", model="gpt-5", input=ask("hello"), generate=False)
    capture.answers(10, "resp_0", text="", usage=usage(0, 0))
    capture.asks(
        100, type="response.create", model="gpt-5", input=ask("hello"), previous_response_id="resp_0"
    )
    capture.answers(150, "resp_1", "One.", usage(1000, 20, cached=600, reasoning=10))
    capture.asks(300, type="response.create", model="gpt-5", input=ask("more"), previous_response_id="resp_1")
    capture.answers(400, "resp_2", "Two.", usage(2000, 30))
    return capture


@pytest.mark.parametrize("how", [{}, {"deflate": True}, {"deflate": True, "takes_over": False}])
def test_each_response_is_a_call_with_its_usage_cost_and_times(
    prices: PriceBook, how: dict[str, Any]
) -> None:
    exchange = a_codex_capture(**how).exchange()

    (warm_up, free), (first, one), (second, two) = read(exchange, prices)

    assert (free.operation, free.cost.state, free.cost.total_usd) == ("warm_up", CostState.FREE, 0)
    assert [each.operation for each in (one, two)] == ["response", "response"]
    assert (one.request_model, one.response_model, one.request_preview, one.response_preview) == (
        "gpt-5",
        "gpt-5-2025-08-07",
        "hello",
        "One.",
    )
    # $1.25, $0.125 and $10 for a million tokens of input, cached input and output
    assert one.cost.total_usd == (400 * Decimal("1.25") + 600 * Decimal("0.125") + 20 * 10) / 10**6
    assert two.cost.total_usd == (2000 * Decimal("1.25") + 30 * 10) / 10**6
    assert (one.usage.output_tokens, one.usage.reasoning_tokens) == (10, 10)
    begun = [(call.started_ns - exchange.started_ns) // 10**6 for call in (warm_up, first, second)]
    assert begun == [5, 100, 300]
    assert [call.end_us for call in (warm_up, first, second)] == [25_000, 70_000, 120_000]
    assert (one.time_to_first_token_us, two.time_to_first_token_us) == (60_000, 110_000)
    assert all(call.outcome is Outcome.COMPLETE for call in (first, second))
    assert all(each.interpret_error == "" for each in (free, one, two))


def test_ids_follow_from_the_connections_and_the_first_has_its_own() -> None:
    exchange = a_codex_capture().exchange()

    ids = [call.request_id for call in calls_of(exchange)]

    assert ids == [call.request_id for call in calls_of(exchange)]
    assert ids[0] == exchange.request_id
    assert len(set(ids)) == 3
    assert all(found.version == 4 for found in ids[1:])
    assert find_call(exchange, ids[2].bytes).id == ids[2].bytes
    assert find_call(exchange, uuid.uuid4().bytes) is exchange


def test_streams_on_one_connection_do_not_mix(prices: PriceBook) -> None:
    capture = Capture("/v1/responses")
    for at_ms, stream in ((0, "a"), (1, "b")):
        capture.asks(at_ms, type="response.create", stream_id=stream, model="gpt-5", input=ask(stream))
    capture.tells(10, type="response.created", stream_id="b", response={"id": "resp_b"})
    capture.tells(11, type="response.created", stream_id="a", response={"id": "resp_a"})
    for at_ms, stream in ((20, "a"), (21, "b"), (22, "a"), (23, "b")):
        capture.tells(
            at_ms,
            type="response.output_text.delta",
            stream_id=stream,
            output_index=0,
            content_index=0,
            delta=stream,
        )
    for at_ms, stream in ((30, "b"), (40, "a")):
        done = {"id": f"resp_{stream}", "status": "completed", "model": "gpt-5", "usage": usage(1, 1)}
        capture.tells(at_ms, type="response.completed", stream_id=stream, response=done)

    found = read(capture.exchange(), prices)

    told = [(each.request_preview, each.response_preview, call.end_us) for call, each in found]
    assert told == [("a", "aa", 40_000), ("b", "bb", 29_000)]


def test_a_refused_response_costs_nothing_and_the_next_one_is_not_mistaken_for_it(prices: PriceBook) -> None:
    capture = Capture("/v1/responses")
    capture.asks(0, type="response.create", model="gpt-none", input=ask("x"))
    error = {"type": "invalid_request_error", "code": "model_not_found", "message": "no such model"}
    capture.tells(5, type="error", status=400, error=error)
    capture.asks(10, type="response.create", model="gpt-5", input=ask("y"))
    capture.answers(20, "resp_1", usage=usage(10, 5))

    (refused, what), (call, found) = read(capture.exchange(), prices)

    assert (refused.response_status, what.error_class, what.error_message) == (
        400,
        "not_found",
        "no such model",
    )
    assert what.cost.state is CostState.FREE
    assert (call.response_status, found.request_preview, found.error_class) == (101, "y", "")


def test_a_connection_that_ends_in_a_response_keeps_what_came(prices: PriceBook) -> None:
    capture = Capture("/v1/responses")
    capture.asks(0, type="response.create", model="gpt-5", input=ask("tell me all of it"))
    capture.tells(10, type="response.created", response={"id": "resp_1", "status": "in_progress"})
    capture.tells(20, type="response.output_text.delta", output_index=0, content_index=0, delta="It begins")
    capture.sends(30, capture.client.control(CLOSE, b"\x03\xe8"), is_client=True)

    ((call, found),) = read(capture.exchange(), prices)

    assert call.outcome is Outcome.CLIENT_ABORTED
    assert "closed before" in found.error_message
    assert found.response_preview == "It begins"
    assert found.cost.state is CostState.ESTIMATED
    assert found.usage.output_tokens


def test_a_capture_that_was_cut_says_so(prices: PriceBook) -> None:
    whole = a_codex_capture().exchange()
    kept = whole.response_body[: len(whole.response_body) * 3 // 4]

    found = read(a_codex_capture().exchange(response_body_bytes=len(whole.response_body)), prices)
    cut = read(
        an_exchange(
            whole.request_body,
            kept,
            path=whole.path,
            status=101,
            is_websocket=True,
            request_chunks=whole.request_chunks,
            chunks=whole.response_chunks,
            response_body_bytes=len(whole.response_body),
        ),
        prices,
    )

    assert len(found) == len(cut) == 3
    assert "bytes were kept" in cut[-1][1].interpret_error
    assert cut[0][1].interpret_error == found[-1][1].interpret_error == ""


def test_damage_is_told_and_what_came_before_it_is_kept(prices: PriceBook) -> None:
    capture = a_codex_capture()
    capture.sends(500, b"\xff\xff\xff", is_client=False)
    found = read(capture.exchange(), prices)
    assert [each.response_preview for _, each in found] == ["", "One.", "Two."]
    assert "a frame of the server is damaged" in found[-1][1].interpret_error


@pytest.mark.parametrize(
    ("path", "state"), [("/v1/responses", CostState.FREE), ("/v1/echo", CostState.UNKNOWN)]
)
def test_a_connection_without_a_response_is_one_other_call(
    prices: PriceBook, path: str, state: CostState
) -> None:
    capture = Capture(path)
    capture.sends(1, capture.client.control(PING), is_client=True)
    exchange = capture.exchange()

    ((call, found),) = read(exchange, prices)

    assert (call.request_id, found.operation, found.cost.state) == (exchange.request_id, "other", state)
    assert found.interpret_error == ""


def test_more_responses_than_anybody_wants_are_counted_not_kept(prices: PriceBook) -> None:
    capture = Capture("/v1/responses")
    for number in range(MAX_TURNS + 3):
        capture.asks(number, type="response.create", model="gpt-5")
    calls = calls_of(capture.exchange())
    assert len(calls) == MAX_TURNS
    assert "3 more responses" in interpret(calls[-1], prices).interpret_error


def test_a_flood_of_events_is_bounded_and_the_ends_are_kept(prices: PriceBook) -> None:
    capture = Capture("/v1/responses", deflate=True)
    flood = "x" * (MAX_TURN_BYTES // 4)
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": flood}
    for number in range(8):
        capture.asks(number * 100, type="response.create", model="gpt-5")
        capture.tells(number * 100 + 1, type="response.created", response={"id": f"r{number}"})
        for _ in range(5):
            capture.tells(number * 100 + 2, **delta)
        done = {"id": f"r{number}", "status": "completed", "model": "gpt-5", "usage": usage(10, 5)}
        capture.tells(number * 100 + 3, type="response.completed", response=done)

    calls = calls_of(capture.exchange())

    assert sum(len(call.response_body) for call in calls) < MAX_KEPT_BYTES + 1024 * 1024
    assert all(len(call.response_body) <= MAX_TURN_BYTES + 1024 for call in calls)
    assert [interpret(call, prices).usage.total_tokens for call in calls] == [15] * 8


# Realtime


def spoken(transcript: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "output_audio", "transcript": transcript}]
    return {"type": "message", "role": "assistant", "content": content, **more}


REALTIME_USAGE = {
    "total_tokens": 460,
    "input_tokens": 300,
    "output_tokens": 160,
    "input_token_details": {
        "text_tokens": 100,
        "audio_tokens": 200,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 64},
    },
    "output_token_details": {"text_tokens": 40, "audio_tokens": 120},
}


def a_voice_capture() -> Capture:
    """A caller speaks; the server hears the end of it, answers by itself, and transcribes later."""
    capture = Capture("/v1/realtime?model=gpt-realtime")
    capture.tells(1, type="session.created", session={"model": "gpt-realtime", "instructions": "Be brief."})
    audio = base64.b64encode(bytes(2400)).decode()
    for at_ms in (100, 150, 200):
        capture.asks(at_ms, type="input_audio_buffer.append", audio=audio)
    capture.tells(250, type="input_audio_buffer.committed", item_id="item_1")
    heard = {"id": "item_1", "type": "message", "role": "user", "content": [{"type": "input_audio"}]}
    capture.tells(251, type="conversation.item.added", item=heard)
    capture.tells(260, type="response.created", response={"id": "resp_1", "status": "in_progress"})
    place = {"response_id": "resp_1", "output_index": 0, "content_index": 0}
    capture.tells(270, type="response.output_audio_transcript.delta", delta="Good ", **place)
    capture.tells(280, type="response.output_audio.delta", delta=audio, **place)
    transcript = {"item_id": "item_1", "content_index": 0, "transcript": "Hello there"}
    capture.tells(290, type="conversation.item.input_audio_transcription.completed", **transcript)
    item = spoken("Good day.", id="item_2", status="completed")
    capture.tells(295, type="response.output_item.done", response_id="resp_1", output_index=0, item=item)
    done = {"id": "resp_1", "status": "completed", "output": [item], "usage": REALTIME_USAGE}
    capture.tells(300, type="response.done", response=done)
    return capture


def test_a_response_that_the_server_begins_by_itself_is_a_call(prices: PriceBook) -> None:
    exchange = a_voice_capture().exchange()

    ((call, found),) = read(exchange, prices)

    assert (found.operation, found.request_model) == ("realtime", "gpt-realtime")
    assert (found.request_preview, found.response_preview) == ("Hello there", "Good day.")
    assert (call.started_ns - exchange.started_ns) // 10**6 == 250
    assert (found.time_to_first_token_us, call.end_us) == (20_000, 50_000)
    told = found.usage
    assert (told.input_tokens, told.input_audio_tokens, told.cache_read_audio_tokens) == (100, 136, 64)
    assert (told.output_tokens, told.output_audio_tokens) == (40, 120)
    assert found.cost.state is CostState.EXACT
    assert '"input_token_details"' in found.provider_usage


@pytest.mark.parametrize(("cached_images", "state"), [(0, CostState.EXACT), (64, CostState.ESTIMATED)])
def test_images_that_were_not_cached_have_the_price_of_images(
    prices: PriceBook, cached_images: int, state: CostState
) -> None:
    cached = {"text_tokens": 64 - cached_images, "audio_tokens": 0, "image_tokens": cached_images}
    details = {"text_tokens": 100, "audio_tokens": 0, "image_tokens": 200, "cached_tokens": 64}
    told = {"input_tokens": 300, "output_tokens": 0, "total_tokens": 300}
    told["input_token_details"] = {**details, "cached_tokens_details": cached}  # type: ignore[assignment]
    capture = Capture("/v1/realtime?model=gpt-realtime")
    capture.asks(0, type="response.create")
    capture.tells(5, type="response.created", response={"id": "r", "status": "in_progress"})
    capture.tells(9, type="response.done", response={"id": "r", "status": "completed", "usage": told})

    ((_, found),) = read(capture.exchange(), prices)

    assert found.usage.input_image_tokens == 200 - cached_images
    assert found.usage.total_input_tokens == 300
    assert found.cost.parts_usd["input_image_tokens"] == Decimal(200 - cached_images) * 5 / 10**6
    assert found.cost.state is state


def test_audio_is_counted_and_not_kept_as_text() -> None:
    (call,) = calls_of(a_voice_capture().exchange())
    conversation = read_conversation(call)
    (heard,) = conversation.messages[0].parts
    assert (heard.kind, heard.text, heard.data_bytes) == (PartKind.AUDIO, "Hello there", 7200)
    assert b"[2400 bytes of audio]" in call.response_body
    assert b"AAAAAAAA" not in call.request_body + call.response_body
    assert conversation.system[0].text == "Be brief."


def test_a_response_cut_short_keeps_the_transcript_of_what_was_said(prices: PriceBook) -> None:
    capture = Capture("/v1/realtime?model=gpt-realtime")
    capture.asks(0, type="response.create")
    capture.tells(5, type="response.created", response={"id": "r", "status": "in_progress"})
    item = {"id": "i", "type": "message", "role": "assistant", "content": []}
    capture.tells(6, type="response.output_item.added", response_id="r", output_index=0, item=item)
    for word in ("Once ", "upon"):
        capture.tells(
            7,
            type="response.output_audio_transcript.delta",
            response_id="r",
            output_index=0,
            content_index=0,
            delta=word,
        )

    ((_, found),) = read(capture.exchange(), prices)

    assert found.response_preview == "Once upon"
    assert found.cost.state is CostState.UNKNOWN


def test_a_realtime_conversation_grows_from_response_to_response(prices: PriceBook) -> None:
    capture = Capture("/v1/realtime?model=gpt-realtime")
    for number, said in enumerate(("first", "second")):
        at_ms = number * 100
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": said}]}
        capture.asks(at_ms, type="conversation.item.create", item=item)
        capture.asks(at_ms + 1, type="response.create")
        capture.tells(at_ms + 2, type="conversation.item.added", item={"id": f"u{number}", **item})
        reply = {"id": f"r{number}", "status": "in_progress"}
        capture.tells(at_ms + 3, type="response.created", response=reply)
        output = [spoken(f"answer {number}", id=f"a{number}")]
        done = {"id": f"r{number}", "status": "completed", "output": output, "usage": REALTIME_USAGE}
        capture.tells(at_ms + 4, type="response.output_item.done", response_id=f"r{number}", item=output[0])
        capture.tells(at_ms + 5, type="response.done", response=done)

    calls = calls_of(capture.exchange())

    said = [
        [part.text for message in read_conversation(call).messages for part in message.parts]
        for call in calls
    ]
    assert said == [["first"], ["first", "answer 0", "second"]]


def test_an_error_about_something_else_ends_no_response(prices: PriceBook) -> None:
    capture = Capture("/v1/realtime?model=gpt-realtime")
    capture.asks(0, type="session.update", event_id="e1", session={"voice": "nobody"})
    capture.asks(1, type="response.create", event_id="e2")
    capture.tells(2, type="error", error={"type": "invalid_request_error", "event_id": "e1", "message": "no"})
    capture.tells(3, type="response.created", response={"id": "r"})
    done = {"id": "r", "status": "completed", "output": [spoken("yes")], "usage": REALTIME_USAGE}
    capture.tells(4, type="response.done", response=done)

    ((call, found),) = read(capture.exchange(), prices)

    assert (call.outcome, found.error_class, found.response_preview) == (Outcome.COMPLETE, "", "yes")


def test_a_failed_response_tells_why(prices: PriceBook) -> None:
    capture = Capture("/v1/realtime?model=gpt-realtime")
    capture.asks(0, type="response.create")
    capture.tells(1, type="response.created", response={"id": "r"})
    error = {"type": "server_error", "code": "server_error", "message": "try again"}
    failed = {"id": "r", "status": "failed", "status_details": {"error": error}, "output": []}
    capture.tells(2, type="response.done", response=failed)
    ((_, found),) = read(capture.exchange(), prices)
    assert (found.error_class, found.error_message) == ("server_error", "try again")


# Whatever crosses the wire


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), path=st.sampled_from(["/v1/responses", "/v1/realtime?model=x", "/x"]))
def test_no_capture_makes_it_raise(seed: int, path: str) -> None:
    luck = random.Random(seed)
    capture = Capture(path, deflate=luck.random() < 0.5)
    kinds = [
        "response.create", "response.created", "response.completed", "response.done", "error",
        "session.update", "conversation.item.added", "conversation.item.create", "input_audio_buffer.append",
        "response.output_item.done", "response.output_text.delta", "input_audio_buffer.committed",
    ]  # fmt: skip
    junk: list[Any] = [
        None,
        7,
        "x",
        [],
        {},
        [{}],
        {"id": "r"},
        {"content": [{"audio": "AAAA"}]},
        {"content": 3},
    ]
    names = ["response", "item", "session", "error", "response_id", "item_id", "delta", "audio", "stream_id"]
    for at_ms in range(luck.randrange(12)):
        event = {name: luck.choice(junk) for name in luck.sample(names, 3)}
        (capture.asks if luck.random() < 0.4 else capture.tells)(at_ms, type=luck.choice(kinds), **event)
    exchange = capture.exchange()
    book = PRICES

    for call in calls_of(exchange):
        found = interpret(call, book)
        read_conversation(call)
        assert "Error:" not in found.interpret_error


PRICES = PriceBook.load(None)

"""A look at a call in flight shows what there is, cheaply."""

from pathlib import Path

import msgspec
import pytest

from heli.providers import peek
from heli.schema.exchange import Outcome
from tests.providers.exchanges import an_exchange, read_recording, recorded, sse
from tests.providers.sockets.sockets import Capture, usage

QUESTION = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Why is it so?"}]}


def test_before_a_reply_the_question_is_shown() -> None:
    found = peek(an_exchange(QUESTION, status=None, outcome=Outcome.INTERRUPTED))

    assert (found.provider, found.model, found.text) == ("OPENAI", "gpt-4o", "Why is it so?")
    assert found.output_tokens_estimate is None


def test_while_it_streams_the_newest_words_are_shown() -> None:
    words = [{"model": "gpt-4o-1", "choices": [{"delta": {"content": f"word{n} "}}]} for n in range(200)]

    found = peek(an_exchange(QUESTION, sse(*words)))

    assert found.model == "gpt-4o-1"
    assert found.text.endswith("word199")
    assert len(found.text) <= 300
    assert found.output_tokens_estimate is not None
    assert 100 < found.output_tokens_estimate < 800


def test_a_large_body_is_left_for_the_end() -> None:
    found = peek(an_exchange(QUESTION, b"data: " + b"x" * 1_000_000))

    assert (found.provider, found.text) == ("OPENAI", "")


@pytest.mark.parametrize("file", recorded(), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_any_recording_can_be_peeked_at_any_point(file: Path) -> None:
    exchange, expected = read_recording(file)
    for share in (0, 3, 10):
        body = exchange.response_body[: len(exchange.response_body) * share // 10]
        found = peek(msgspec.structs.replace(exchange, response_body=body))
        assert found.provider == expected.get("provider", found.provider)


def test_of_a_websocket_the_response_under_way_is_told() -> None:
    capture = Capture("/v1/responses", deflate=True)
    capture.asks(0, type="response.create", model="gpt-5", input="first")
    capture.answers(1, "resp_1", "Done with that.", usage(1, 1))
    capture.asks(100, type="response.create", model="gpt-5", input="second")
    capture.tells(110, type="response.created", response={"id": "resp_2", "status": "in_progress"})
    capture.tells(120, type="response.output_text.delta", output_index=0, content_index=0, delta="And so")
    so_far = capture.exchange(outcome=Outcome.INTERRUPTED, is_websocket=False)

    seen = peek(so_far)

    assert (seen.provider, seen.model, seen.text) == ("OPENAI", "gpt-5", "And so")


def test_of_a_websocket_on_which_nothing_was_asked_little_is_told() -> None:
    seen = peek(Capture("/v1/realtime?model=gpt-realtime").exchange(outcome=Outcome.INTERRUPTED))
    assert (seen.provider, seen.model, seen.text) == ("OPENAI", "gpt-realtime", "")

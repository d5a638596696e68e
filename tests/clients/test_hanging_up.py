"""Callers that leave before the end: the provider is let go, and what came until then is kept and priced."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from openai import APITimeoutError, OpenAI

from heli.schema.exchange import Outcome
from heli.schema.usage import CostState
from tests.clients.running_heli import RunningHeli
from tests.standin import StandIn

HELLO: list[Any] = [{"role": "user", "content": "Count slowly, please, and do not stop."}]


@pytest.fixture
def ask(heli: RunningHeli, openai_client: Callable[..., OpenAI]) -> Callable[..., Any]:
    """`ask(request_id, scenario, **options)` starts a stream."""

    def make(request_id: str, scenario: dict[str, Any], **options: Any) -> Any:
        return openai_client(heli.openai, **options).chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True,
            extra_headers={"Helicone-Request-Id": request_id, "x-standin": json.dumps(scenario)},
        )  # fmt: skip

    return make


@pytest.fixture
def request_id() -> str:
    return str(uuid.uuid4())


def provider_was_left(standin: StandIn) -> float:
    """When the provider saw its caller go."""
    entry = standin.wait_for(lambda asked: asked.journal()[0]["peer_left_at"] and asked.journal()[0], 10)
    assert entry
    return float(entry["peer_left_at"])


def test_a_reader_who_leaves_frees_the_provider_within_two_seconds(
    heli: RunningHeli, standin: StandIn, ask: Callable[..., Any], request_id: str
) -> None:
    stream = ask(request_id, {"chunks": 200, "interval_ms": 50})
    text = ""
    for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        if len(text) >= 8:
            break
    left_at = time.time()
    stream.close()
    assert provider_was_left(standin) - left_at < 2
    row = heli.logged(request_id)
    assert (row.outcome, row.error_class, row.status) == (Outcome.CLIENT_ABORTED, "client_aborted", 200)
    assert row.response_preview.startswith(text)
    assert row.cost_state is CostState.ESTIMATED
    assert row.cost_usd is not None
    assert row.cost_usd > 0
    partial = heli.client.exchange(request_id).response_json["choices"][0]["message"]["content"]
    assert partial.startswith(text)
    assert len(partial) < len(f"You said: {HELLO[0]['content']}")


def test_a_stream_that_stalls_is_given_up_by_its_reader(
    heli: RunningHeli, standin: StandIn, ask: Callable[..., Any], request_id: str
) -> None:
    stream = ask(request_id, {"stall_s": 8, "stall_at": "body"}, timeout=0.8)
    pieces: list[str] = []
    with pytest.raises(Exception, match="timed out") as caught:
        pieces.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "Timeout" in type(caught.value).__name__
    stream.close()
    row = heli.logged(request_id)
    assert row.outcome is Outcome.CLIENT_ABORTED
    assert row.response_preview.startswith("You")
    provider_was_left(standin)


def test_a_provider_that_does_not_answer_is_given_up_by_its_caller(
    heli: RunningHeli, standin: StandIn, ask: Callable[..., Any], request_id: str
) -> None:
    started = time.monotonic()
    with pytest.raises(APITimeoutError):
        ask(request_id, {"delay_s": 8}, timeout=0.5)
    assert time.monotonic() - started < 4
    provider_was_left(standin)
    row = heli.logged(request_id)
    assert (row.outcome, row.status) == (Outcome.CLIENT_ABORTED, None)
    assert row.request_preview == HELLO[0]["content"]
    assert row.cost_usd is None or row.cost_state is CostState.ESTIMATED
    assert row.time_to_first_token_ms is None
    found = heli.client.requests(f'outcome:client_aborted status:unknown "count slowly" id:{request_id}')
    assert [one.id for one in found.requests] == [row.id]

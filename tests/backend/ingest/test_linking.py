"""Calls that go on from each other are one session, whatever the order in which they are stored."""

import itertools
import json
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heli.backend.ingest.pipeline import Pipeline
from heli.backend.queries.request_list import count_requests, list_requests
from heli.backend.queries.scope import Scope
from heli.backend.stores.packed_bodies import PackedBodyStore
from heli.backend.stores.request_log import RequestLog
from heli.providers import PriceBook
from heli.schema.exchange import Exchange, Headers
from heli.schema.request import Request
from tests.backend.backend_builders import an_answer, an_exchange

SECOND = 10**9
type MakePipeline = Callable[[], Pipeline]


@pytest.fixture
def make_pipeline(
    log: RequestLog, tmp_path: Path, prices: PriceBook, organisation: uuid.UUID
) -> MakePipeline:
    """Backends that share the log and nothing else."""
    return lambda: Pipeline(log, PackedBodyStore(tmp_path / uuid.uuid4().hex), prices, organisation)


START = 1_790_000_000 * SECOND


def a_turn(said: list[str], answer: str, at_s: float, headers: Headers = [], **more: Any) -> Exchange:  # noqa: B006
    """A chat call; `said` is what user and assistant said by turns."""
    roles = itertools.cycle(("user", "assistant"))
    messages = [{"role": "system", "content": f"It is {at_s} o'clock"}]
    messages += [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    body = json.dumps({"model": "gpt-4o-mini", "messages": messages, **more}).encode()
    return an_exchange(
        request_body=body,
        response_body=an_answer(answer),
        started_ns=START + int(at_s * SECOND),
        headers=headers,
    )


def a_conversation(turns: int, topic: str, at_s: float = 0.0, **more: Any) -> list[Exchange]:
    said: list[str] = []
    made = []
    for number in range(turns):
        said.append(f"{topic} {number}")
        made.append(a_turn(said, f"re {topic} {number}", at_s + number, **more))
        said.append(f"re {topic} {number}")
    return made


def sessions(log: RequestLog, scope: Scope) -> dict[uuid.UUID, str]:
    return {request.id: request.session_id for request in stored(log, scope)}


def stored(log: RequestLog, scope: Scope) -> list[Request]:
    return list_requests(log, scope, order="oldest").requests


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("at_once", [False, True])
def test_a_conversation_is_one_session_in_whatever_order_it_comes(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope, order: tuple[int, ...], at_once: bool
) -> None:
    turns = a_conversation(3, "tea")
    batches = [[turns[place] for place in order]] if at_once else [[turns[place]] for place in order]

    for batch in batches:
        make_pipeline().take(batch)

    found = sessions(log, scope)
    millis = turns[0].started_ns // 10**6
    expected = f"thread-{millis:012x}-{turns[0].request_id.hex[:6]}"
    assert found == {turn.request_id: expected for turn in turns}
    assert count_requests(log, scope) == 3


@pytest.mark.parametrize("seed", range(6))
def test_many_conversations_in_random_order_and_batches_are_found_again(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope, seed: int
) -> None:
    luck = random.Random(seed)
    talks = [a_conversation(luck.randint(2, 6), f"topic {n}", at_s=luck.random() * 60) for n in range(6)]
    turns = luck.sample(everything := list(itertools.chain(*talks)), len(everything))
    while turns:
        size = luck.randint(1, 5)
        batch, turns = turns[:size], turns[size:]
        make_pipeline().take(batch)
        if luck.random() < 0.3:
            make_pipeline().take(batch)

    found = sessions(log, scope)

    for talk in talks:
        first = talk[0]
        expected = f"thread-{first.started_ns // 10**6:012x}-{first.request_id.hex[:6]}"
        assert {found[turn.request_id] for turn in talk} == {expected}
    assert len(found) == len(everything)


def test_the_same_again_changes_nothing(make_pipeline: MakePipeline, log: RequestLog, scope: Scope) -> None:
    turns = a_conversation(4, "tea")
    make_pipeline().take(turns[:2])
    make_pipeline().take(turns[2:])
    before = stored(log, scope)

    again = make_pipeline().take(turns)

    assert again.answer.duplicates == 4
    assert stored(log, scope) == before


def test_calls_that_nothing_joins_have_no_session(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope
) -> None:
    make_pipeline().take([a_turn([f"question {number}"], "yes", number) for number in range(3)])
    assert set(sessions(log, scope).values()) == {""}


def test_conversations_that_begin_alike_stay_apart(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope
) -> None:
    one = [a_turn(["hi"], "Hello!", 0), a_turn(["hi", "Hello!", "tea"], "Sure", 2)]
    other = [a_turn(["hi"], "Hey!", 1), a_turn(["hi", "Hey!", "coffee"], "Sure", 3)]

    for batch in ([one[0], other[0]], [one[1]], [other[1]]):
        make_pipeline().take(batch)

    found = sessions(log, scope)
    assert found[one[0].request_id] == found[one[1].request_id] != ""
    assert found[other[0].request_id] == found[other[1].request_id] != ""
    assert found[one[0].request_id] != found[other[0].request_id]


def test_a_reply_that_the_caller_wrote_anew_still_joins(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope
) -> None:
    turns = [a_turn(["hi"], "Hello there!", 0), a_turn(["hi", "hello", "tea"], "Sure", 1)]
    for turn in turns:
        make_pipeline().take([turn])
    assert len(set(sessions(log, scope).values()) - {""}) == 1


def test_a_session_that_the_caller_named_is_inherited_and_never_taken_away(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope
) -> None:
    named: Headers = [(b"Helicone-Session-Id", b"mine"), (b"Helicone-Session-Name", b"My work")]
    turns = a_conversation(3, "tea")
    first = a_turn(["tea 0"], "re tea 0", 0, headers=named)

    make_pipeline().take([first])
    make_pipeline().take(turns[1:2])
    make_pipeline().take(turns[2:])

    requests = stored(log, scope)
    assert [request.session_id for request in requests] == ["mine"] * 3
    assert [request.session_source for request in requests] == ["caller", "inherited", "inherited"]
    assert {request.session_name for request in requests} == {"My work"}


def test_what_waited_for_a_named_call_joins_it(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope
) -> None:
    named: Headers = [(b"Helicone-Session-Id", b"mine")]
    turns = a_conversation(3, "tea")
    make_pipeline().take(turns[1:])
    make_pipeline().take([a_turn(["tea 0"], "re tea 0", 0, headers=named)])
    assert set(sessions(log, scope).values()) == {"mine"}


def test_other_organisations_are_not_looked_at(
    make_pipeline: MakePipeline, log: RequestLog, prices: PriceBook, tmp_path: Path, scope: Scope
) -> None:
    turns = a_conversation(2, "tea")
    other = Pipeline(log, PackedBodyStore(tmp_path / "other"), prices, uuid.uuid4())
    other.take(turns[:1])
    make_pipeline().take(turns[1:])
    assert set(sessions(log, scope).values()) == {""}


def test_a_conversation_that_rested_for_a_day_is_another_session(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope
) -> None:
    first, later = a_turn(["a"], "b", 0), a_turn(["a", "b", "c"], "d", 25 * 3600)
    make_pipeline().take([first])
    make_pipeline().take([later])
    assert set(sessions(log, scope).values()) == {""}


def a_response(response_id: str, at_s: float, **asked: Any) -> Exchange:
    reply = {"id": response_id, "object": "response", "status": "completed", "model": "gpt-5", "output": []}
    return an_exchange(
        path="/v1/responses",
        request_body=json.dumps({"model": "gpt-5", "input": "x", **asked}).encode(),
        response_body=json.dumps(reply).encode(),
        started_ns=START + int(at_s * SECOND),
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_responses_that_name_the_one_before_are_one_session(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope, order: tuple[int, ...]
) -> None:
    ids = [f"resp_{uuid.uuid4().hex}" for _ in range(3)]
    chain = [
        a_response(id, number, previous_response_id=ids[number - 1] if number else None)
        for number, id in enumerate(ids)
    ]
    for place in order:
        make_pipeline().take([chain[place]])
    assert len(set(sessions(log, scope).values())) == 1
    assert all(request.session_source == "thread" for request in stored(log, scope))


def test_a_conversation_that_the_provider_keeps_is_the_session(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope
) -> None:
    make_pipeline().take(
        [
            a_response("r1", 0, conversation="conv_1"),
            a_response("r2", 1, conversation={"id": "conv_1"}),
        ]
    )
    assert set(sessions(log, scope).values()) == {"conv_1"}


@pytest.mark.parametrize(
    "shared",
    [
        {"headers": [(b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]},
        {"prompt_cache_key": "0199f3a2-1111-7222-8333-444455556666"},
    ],
)
def test_calls_of_one_trace_or_cache_key_are_one_session(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope, shared: dict[str, Any]
) -> None:
    for number in range(3):
        make_pipeline().take([a_turn([f"step {number}"], "done", number, **shared)])
    assert len(set(sessions(log, scope).values()) - {""}) == 1
    assert "" not in sessions(log, scope).values()


def test_a_cache_key_that_many_conversations_share_joins_nothing(
    make_pipeline: MakePipeline, log: RequestLog, scope: Scope
) -> None:
    make_pipeline().take([a_turn([f"q {n}"], "a", n, prompt_cache_key="my-app") for n in range(2)])
    assert set(sessions(log, scope).values()) == {""}

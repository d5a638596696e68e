"""What a filter says of a call in flight: kept while it may match, told of once, and told when it is out."""

import asyncio
import datetime
import re
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.backend.api.parts import Parts
from heli.backend.api.period import make_node
from heli.backend.api.selection import Selection
from heli.backend.app import look
from heli.backend.live import LiveHub
from heli.backend.live_calls import SILENCE_S
from heli.backend.live_filter import NOTHING, Known, find_known, is_like, may_match
from heli.schema.exchange import Direction, Exchange, Grown, Opened, Outcome
from heli.schema.live import LiveCall, LiveEvent, LiveKind
from tests.backend.backend_builders import a_question, an_answer, an_exchange

HEADERS = [
    (b"Helicone-User-Id", b"alice"),
    (b"Helicone-Session-Id", b"run-17"),
    (b"Helicone-Session-Name", b"nightly run"),
    (b"Helicone-Session-Path", b"/plan/first"),
    (b"Helicone-Property-Env", b"prod"),
]


def begun(**fields: Any) -> Exchange:
    fields.setdefault("headers", HEADERS)
    nothing_yet: dict[str, Any] = {
        "response_status": None,
        "response_headers": [],
        "response_body": b"",
        "end_us": None,
    }
    return an_exchange(outcome=Outcome.INTERRUPTED, **nothing_yet | fields)


def known_of(exchange: Exchange, before: Known = NOTHING) -> Known:
    created_at = datetime.datetime.fromtimestamp(exchange.started_ns / 1e9, datetime.UTC)
    call = look(exchange, LiveCall(id=exchange.request_id, created_at=created_at))
    return find_known(exchange, call, before)


@pytest.mark.parametrize(
    "filter",
    [
        "", "model:gpt-4o-mini", "model:gpt-4o*", "provider:openai", "-provider:anthropic", "user:alice",
        "user:al*e", "session:run-17", "session.name:nightly*", "session.path:/plan/*", "prop.env:prod",
        "prop:env", "-prop:team", "prop.env:p*", "path:/v1/chat/*", "origin:https://api.openai.com",
        "listener:openai", "since:2h", "user:alice OR user:bob", "-(user:bob)", "user:*",
        # What is not known yet:
        "status:500", "-status:200", "cost>1", "refund", "response:sorry", "tool:read_*", "took>2s",
        "stream:true", "error:*", "outcome:complete", "user:bob OR cost>1", "tokens>5 user:alice",
    ],
)  # fmt: skip
def test_what_may_match_is_kept(filter: str) -> None:
    assert may_match(make_node(filter), known_of(begun()))


@pytest.mark.parametrize(
    "filter",
    [
        "model:gpt-3*", "-model:gpt-4o*", "provider:anthropic", "user:bob", "user:alic", 'user:""', "-user:*",
        "session:other", 'session.path:/plan', "prop.env:dev", "prop:team", "-prop:env", "path:/v1/messages*",
        "listener:anthropic", "until:2h", "user:bob OR user:carol", "user:bob cost>1", "-(user:alice)",
        "status:500 user:bob", "id:00000000", "-origin:https://api.openai.com",
    ],
)  # fmt: skip
def test_what_cannot_match_is_not(filter: str) -> None:
    assert not may_match(make_node(filter), known_of(begun()))


@pytest.mark.parametrize(
    ("filter", "is_kept"), [("status:2xx", True), ("status:500", False), ("-status:200", False)]
)
def test_the_status_counts_once_the_reply_has_begun(filter: str, is_kept: bool) -> None:
    assert may_match(make_node(filter), known_of(begun(response_status=200))) is is_kept


def test_the_model_that_was_asked_for_still_counts_when_another_one_answers() -> None:
    asked = begun()
    before = known_of(asked)
    answer = an_answer("Hi", model="gpt-4o-mini-2024-07-18")
    known = known_of(msgspec.structs.replace(asked, response_status=200, response_body=answer), before)

    assert (known["model"], known["request_model"]) == ("gpt-4o-mini-2024-07-18", "gpt-4o-mini")
    assert may_match(make_node("model:gpt-4o-mini"), known)
    assert may_match(make_node("model:*2024*"), known)
    assert not may_match(make_node("model:*2023*"), known)


@pytest.mark.parametrize(
    ("body", "is_kept"),
    [
        (a_question(), False),
        (a_question(user="bob"), True),
        (a_question(safety_identifier="x"), True),
        (b"\x1f\x8b", True),
    ],
)
def test_a_user_that_only_the_body_may_name_is_not_known(body: bytes, is_kept: bool) -> None:
    assert may_match(make_node("user:bob"), known_of(begun(headers=[], request_body=body))) is is_kept


@given(st.text("ab%\\_", max_size=12), st.text("ab%\\_", max_size=12))
def test_patterns_are_read_as_like_reads_them(text: str, wanted: str) -> None:
    pattern = "%".join(re.sub(r"([\\%_])", r"\\\1", part) for part in wanted.split("%"))
    expected = re.fullmatch(".*".join(re.escape(part) for part in wanted.split("%")), text, re.DOTALL)

    assert is_like(text, pattern) is (expected is not None)


def listened(parts: Parts, filter: str, *steps: Any) -> list[tuple[LiveKind, uuid.UUID]]:
    """What a listener with a filter is told while the hub takes these steps."""

    async def scenario() -> list[LiveEvent]:
        hub = LiveHub(look, lambda: 0.0)
        selection = Selection(parts, make_node(filter))
        with hub.subscribe(selection.choose) as listener:
            for step in steps:
                step(hub) if callable(step) else hub.consume([step])
                await hub.tell_progress()
            return await selection.settle(await listener.batch(0.0) or [])

    events = asyncio.run(scenario())
    return [(event.kind, event.call.id) for event in events if event.call]


def reply(exchange: Exchange, status: int, data: bytes = b"x") -> Grown:
    return Grown(
        id=exchange.id,
        direction=Direction.RESPONSE,
        data=data,
        chunks=[],
        response_status=status,
        response_headers=[],
    )


def test_a_call_is_told_to_have_started_when_it_may_match_first(parts: Parts) -> None:
    call = begun()
    answer = an_answer("Hi", model="gpt-4o-mini-2024-07-18")

    told = listened(parts, "model:*2024*", Opened(exchange=call), reply(call, 200, answer))

    assert told == [(LiveKind.STARTED, call.request_id)]


def test_a_call_leaves_when_it_turns_out_not_to_match(parts: Parts) -> None:
    good, bad = begun(), begun()

    told = listened(
        parts,
        "status:4xx",
        Opened(exchange=good),
        Opened(exchange=bad),
        reply(good, 200),
        reply(bad, 404),
        reply(good, 200, b"y"),
    )

    assert told == [
        (LiveKind.STARTED, good.request_id),
        (LiveKind.STARTED, bad.request_id),
        (LiveKind.LEFT, good.request_id),
        (LiveKind.STREAMING, bad.request_id),
    ]


def test_a_call_that_is_given_up_leaves(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    call, others = begun(), begun(headers=[])

    def give_up(hub: LiveHub) -> None:
        monkeypatch.setattr(hub, "_clock", lambda: SILENCE_S + 1)
        hub.expire()

    told = listened(parts, "user:alice", Opened(exchange=call), Opened(exchange=others), give_up)

    assert told == [(LiveKind.STARTED, call.request_id), (LiveKind.LEFT, call.request_id)]

"""S12: whatever a provider sends, its parser neither fails nor takes long nor takes much memory.

Half of the cases are recordings with bytes and values changed, half are noise on every path that heli knows.
"""

import json
import random
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heli.providers.interpretation import interpret, read_conversation, rebuild_reply
from heli.providers.peeking import peek
from heli.providers.pricing.price_book import PriceBook
from heli.schema.exchange import Exchange
from tests.providers.event_frames import event_stream
from tests.providers.exchanges import an_exchange, read_recording, recorded
from tests.rel.sizes import sized


@pytest.fixture(scope="module")
def prices() -> PriceBook:
    """The table that heli ships with."""
    return PriceBook.load()


CASES = sized(small=4_000, full=100_000)
MOST_SECONDS = 0.1
MOST_MEMORY = 8
"""Times the size of the bodies."""

_RECORDINGS = [read_recording(file)[0] for file in recorded()]
_PLACES = sorted({(each.origin, each.method, each.path) for each in _RECORDINGS})
_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.sampled_from(["type", "text", "usage", "content"]), st.integers(), max_size=2),
)
_SETTINGS = settings(
    max_examples=CASES // 2, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


def _check(exchange: Exchange, prices: PriceBook) -> None:
    found = interpret(exchange, prices)

    assert found.cost.reason != "the exchange could not be interpreted", found.interpret_error
    # The least of a few, as a collection of this process's garbage may fall into one.
    assert any(_seconds(exchange, prices) < MOST_SECONDS for _ in range(4))
    assert found.cost.total_usd is None or found.cost.total_usd >= 0
    read_conversation(exchange)
    rebuild_reply(exchange)
    peek(exchange)


def _seconds(exchange: Exchange, prices: PriceBook) -> float:
    began = time.thread_time()
    interpret(exchange, prices)
    return time.thread_time() - began


def _mutated_bytes(body: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(body))
        match chance.randrange(5):
            case 0:
                body = body[:at]
            case 1:
                body = body[:at] + chance.randbytes(chance.randint(1, 8)) + body[at:]
            case 2:
                body = body[:at] + body[at + chance.randint(1, 40) :]
            case 3:
                body = body + body[at:]
            case _:
                body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
    return body


def _mutated_value(value: Any, junk: Any, chance: random.Random) -> Any:
    """The value with one thing in it, at any depth, replaced by junk."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        return {**value, key: _mutated_value(value[key], junk, chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        return [*value[:at], _mutated_value(value[at], junk, chance), *value[at + 1 :]]
    return junk


def _mutated_lines(body: bytes, junk: Any, chance: random.Random) -> bytes:
    """One JSON text of the body changed in one place: of a stream, in one of its events."""
    lines = body.split(b"\n")
    at = chance.randrange(len(lines))
    head, brace, text = lines[at].partition(b"{")
    try:
        value = json.loads(brace + text)
    except ValueError:
        return _mutated_bytes(body, chance)
    lines[at] = head + json.dumps(_mutated_value(value, junk, chance)).encode()
    return b"\n".join(lines)


@_SETTINGS
@given(st.sampled_from(_RECORDINGS), _JUNK, st.randoms(use_true_random=False), st.booleans())
def test_a_recording_with_something_wrong_in_it(
    prices: PriceBook, recording: Exchange, junk: Any, chance: random.Random, by_value: bool
) -> None:
    request, reply = recording.request_body, recording.response_body
    if by_value:
        request = _mutated_lines(request, junk, chance)
        reply = _mutated_lines(reply, junk, chance)
    else:
        request = _mutated_bytes(request, chance)
        reply = _mutated_bytes(reply, chance)

    _check(
        an_exchange(
            request,
            reply,
            origin=recording.origin,
            path=recording.path,
            method=recording.method,
            request_headers={name.decode(): value.decode() for name, value in recording.request_headers},
            headers={name.decode(): value.decode() for name, value in recording.response_headers},
        ),
        prices,
    )


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = ["delta", "toolUse", "usage", "contentBlockIndex", "start", "outputs", "bytes", "message"]
    return st.dictionaries(st.sampled_from(names), inner, max_size=3)


_KINDS = ["chunk", "contentBlockDelta", "contentBlockStart", "metadata", "!oops", ""]
_CONTENT = st.one_of(_JUNK, _nested(_JUNK), _nested(_nested(_JUNK)))
_FRAMES = st.lists(st.tuples(st.sampled_from(_KINDS), _CONTENT), max_size=6).map(event_stream)


@_SETTINGS
@given(
    st.sampled_from(_PLACES),
    st.one_of(st.binary(max_size=300), _JUNK.map(lambda value: json.dumps(value).encode())),
    st.one_of(st.binary(max_size=600), _FRAMES),
    st.sampled_from(
        ["application/json", "text/event-stream", "application/vnd.amazon.eventstream", "audio/mpeg"]
    ),
    st.sampled_from(["application/json", "multipart/form-data; boundary=B"]),
)
def test_noise_on_every_path(
    prices: PriceBook,
    place: tuple[str, str, str],
    request_body: bytes,
    reply: bytes,
    content_type: str,
    request_type: str,
) -> None:
    origin, method, path = place
    headers = {"Content-Type": request_type}

    _check(
        an_exchange(
            request_body,
            reply,
            origin=origin,
            path=path,
            method=method,
            content_type=content_type,
            request_headers=headers,
        ),
        prices,
    )


MEGABYTE = 1024 * 1024
_BEDROCK = (
    "https://bedrock-runtime.us-east-1.amazonaws.com",
    "/model/amazon.nova-lite-v1%3A0/converse-stream",
)
_EDIT = ("https://api.openai.com", "/v1/images/edits")
_DELTA = {"contentBlockIndex": 0, "delta": {"text": "Two, three, five and seven. " * 4}}
_LARGE = {
    "a stream of frames": (_BEDROCK, b"{}", event_stream([("contentBlockDelta", _DELTA)]) * (8 * 1024)),
    "frames that are all damaged": (_BEDROCK, b"{}", b"\0" * 2 * MEGABYTE),
    "frames that look damaged at every byte": (_BEDROCK, b"{}", b"\0\0\0\x20\0\0\0\0" * (MEGABYTE // 4)),
    "a form of boundaries": (_EDIT, b"--B\r\n" * (MEGABYTE // 5), b"{}"),
    "a form without an end": (
        _EDIT,
        b'--B\r\nContent-Disposition: form-data; name="' * (MEGABYTE // 40),
        b"{}",
    ),
}


@pytest.mark.parametrize("name", _LARGE)
def test_large_bodies_take_time_and_memory_in_proportion(prices: PriceBook, name: str) -> None:
    (origin, path), request_body, reply = _LARGE[name]
    exchange = an_exchange(
        request_body,
        reply,
        origin=origin,
        path=path,
        content_type="application/vnd.amazon.eventstream",
        request_headers={"Content-Type": "multipart/form-data; boundary=B"},
    )
    began = time.thread_time()
    interpret(exchange, prices)
    taken = time.thread_time() - began
    tracemalloc.start()
    interpret(exchange, prices)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert taken < 1.0
    assert peak < MOST_MEMORY * (len(request_body) + len(reply))

"""Streams are cut into events whatever the line ends, and every event knows where it ends."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heli.providers.framing import looks_like_sse, read_json_array, read_json_lines, read_sse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=3)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_events_are_read_with_any_line_end(end: str) -> None:
    body = end.join(
        ["event: a", 'data: {"n": 1}', "", ": comment", 'data:{"n":', "data: 2}", "", ""]
    ).encode()

    stream = read_sse(body)

    assert [(event.name, event.data) for event in stream.events] == [("a", {"n": 1}), ("", {"n": 2})]


def test_the_end_of_an_event_is_where_its_data_ends() -> None:
    body = b'data: {"n": 1}\n\ndata: {"n": 2}\n\n'

    assert [body[: event.end] for event in read_sse(body).events] == [body[:14], body[:30]]


def test_done_is_no_event() -> None:
    stream = read_sse(b"data: {}\n\ndata: [DONE]\n\n")

    assert (len(stream.events), stream.is_done) == (1, True)


def test_a_last_event_without_its_blank_line_counts() -> None:
    assert len(read_sse(b'data: {"n": 1}').events) == 1


def test_an_event_that_is_not_json_is_told_and_the_others_are_kept() -> None:
    stream = read_sse(b'data: {"n": 1}\n\ndata: {"n\n\ndata: {"n": 3}\n\n')

    assert [event.data["n"] for event in stream.events] == [1, 3]
    assert stream.trouble.startswith("an event of the stream is not JSON")


def test_a_byte_order_mark_is_skipped_and_offsets_stay_true() -> None:
    body = b"\xef\xbb\xbfdata: {}\n\n"

    assert looks_like_sse(body)
    assert read_sse(body).events[0].end == len(body) - 2


LINES = ["", ": hi", "event: a", "data: 1", 'data: {"n":', "data:  2}", "data", "id: 7", "data: [DONE]", "x"]


@given(st.lists(st.sampled_from(LINES), max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_plain_events_and_all_others_are_read_by_the_same_rules(
    lines: list[str], end: str, is_ended: bool
) -> None:
    body = (end.join(lines) + (end * 2 if is_ended else "")).encode()
    expected: list[tuple[str, object]] = []
    for block in "\n".join(lines).split("\n\n"):
        fields = [line.partition(":") for line in block.strip("\n").split("\n")]
        data = "\n".join(value for name, mark, value in fields if name == "data" and mark).strip()
        names = [value.strip() for name, mark, value in fields if name == "event" and mark]
        with contextlib.suppress(ValueError):
            if not data.startswith("[DONE]"):
                expected.append((names[-1] if names else "", json.loads(data)))

    assert [(event.name, event.data) for event in read_sse(body).events] == expected


@pytest.mark.parametrize(
    ("body", "answer"),
    [(b"data: x", True), (b"\n: hi", True), (b"event: x", True), (b'{"data": 1}', False), (b"", False)],
)
def test_sse_is_recognised_by_how_it_begins(body: bytes, answer: bool) -> None:
    assert looks_like_sse(body) is answer


@given(st.lists(JSON, max_size=6))
def test_json_lines_come_back(values: list[object]) -> None:
    body = "".join(json.dumps(value) + "\n" for value in values).encode()

    assert [event.data for event in read_json_lines(body).events] == values


@settings(max_examples=50)
@given(st.lists(OBJECTS, max_size=5), st.sampled_from([None, 1, 4]))
def test_json_arrays_come_back(values: list[object], indent: int | None) -> None:
    stream = read_json_array(json.dumps(values, indent=indent).encode())

    assert [event.data for event in stream.events] == values
    assert stream.is_done


@settings(max_examples=50)
@given(st.lists(OBJECTS, min_size=1, max_size=4), st.data())
def test_a_cut_array_yields_the_elements_before_the_cut(values: list[object], data: st.DataObject) -> None:
    body = json.dumps(values).encode()
    cut = data.draw(st.integers(0, len(body) - 1))

    stream = read_json_array(body[:cut])

    found = [event.data for event in stream.events]
    assert not stream.is_done
    assert found == values[: len(found)]
    ends = [event.end for event in read_json_array(body).events]
    assert len(found) == sum(end <= cut for end in ends)


CUT_ARRAYS = [b'[{"parts": [{"text": "a"}]', b'[{"n": 1}, {"parts": []', b'[{"text": "a]', b'[{"n": 1}}']


@pytest.mark.parametrize("body", CUT_ARRAYS, ids=["inner", "second", "in a text", "damaged"])
def test_an_array_is_done_only_behind_its_own_bracket(body: bytes) -> None:
    assert not read_json_array(body).is_done
    assert read_json_array(b'[{"parts": ["]"]}]\r\n').is_done


@given(st.binary(max_size=300))
def test_any_bytes_are_borne(body: bytes) -> None:
    for read in (read_sse, read_json_lines, read_json_array):
        assert all(event.end <= len(body) for event in read(body).events)

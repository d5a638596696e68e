"""Binary event streams: frames whole, damaged, cut, and what stands between them."""

import itertools
import zlib

import pytest

from heli.providers.event_stream import looks_like_event_stream, read_event_stream, unwrap_chunks
from tests.providers.event_frames import event_frame, event_stream, frame

EVENTS = [("messageStart", {"role": "assistant"}), ("messageStop", {"stopReason": "end_turn"})]


def test_the_frames_of_these_tests_are_those_of_the_specification() -> None:
    # The empty message of the vectors that all of AWS's own libraries are tested with.
    assert frame(b"").hex() == "000000100000000005c248eb7d98c8ff"


def test_frames_become_events_that_know_where_they_end() -> None:
    body = event_stream(EVENTS)

    stream = read_event_stream(body)

    assert [(event.name, event.data) for event in stream.events] == EVENTS
    assert [event.end for event in stream.events] == [len(event_frame(*EVENTS[0])), len(body)]
    assert stream.trouble == ""


@pytest.mark.parametrize("position", range(len(event_frame(*EVENTS[0]))))
def test_one_wrong_bit_anywhere_costs_that_frame_only(position: int) -> None:
    first = bytearray(event_frame(*EVENTS[0]))
    first[position] ^= 4

    stream = read_event_stream(bytes(first) + event_frame(*EVENTS[1]))

    assert [event.name for event in stream.events] == ["messageStop"]
    assert stream.trouble == f"1 damaged frame ({len(first)} bytes) left out: the checksum is wrong"


@pytest.mark.parametrize("kept", range(1, len(event_frame(*EVENTS[1]))))
def test_a_stream_cut_inside_of_a_frame_yields_those_before_it(kept: int) -> None:
    first, second = itertools.starmap(event_frame, EVENTS)

    stream = read_event_stream(first + second[:kept])

    assert [event.name for event in stream.events] == ["messageStart"]
    assert stream.trouble == "it ends inside of a frame"


def test_noise_between_frames_is_skipped_and_told() -> None:
    stream = read_event_stream(event_frame(*EVENTS[0]) + b"\0\x01noise" * 9 + event_frame(*EVENTS[1]))

    assert [event.name for event in stream.events] == ["messageStart", "messageStop"]
    assert "1 damaged frame (63 bytes)" in stream.trouble


def test_headers_of_every_type_are_passed_over() -> None:
    kinds = {0: b"", 1: b"", 2: b"1", 3: b"12", 4: b"1234", 5: b"12345678", 8: b"12345678", 9: b"1" * 16}
    lines = b"".join(b"\x01x" + bytes([kind]) + value for kind, value in kinds.items())
    lines += b"\x01y\x06\x00\x03raw" + b"\x0b:event-type\x07\x00\x04ping"
    body = _framed(lines, b"{}")

    assert [event.name for event in read_event_stream(body).events] == ["ping"]


def test_headers_that_promise_more_than_there_is_are_left() -> None:
    assert [event.name for event in read_event_stream(_framed(b"\xff:event", b"{}")).events] == [""]


def test_an_exception_becomes_an_error_in_the_words_of_an_api() -> None:
    [event] = read_event_stream(event_frame("!throttlingException", {"message": "Too many"})).events

    assert event.data == {"type": "error", "error": {"type": "throttling_exception", "message": "Too many"}}


def test_chunks_are_unwrapped_and_bad_base64_is_told() -> None:
    wrong = frame(b'{"bytes": "%%%"}', {":event-type": "chunk", ":message-type": "event"})

    stream = unwrap_chunks(read_event_stream(event_frame("chunk", {"generation": "2"}) + wrong))

    assert [event.data for event in stream.events] == [{"generation": "2"}]
    assert stream.trouble == "an event of the stream is not base64"


def test_a_frame_is_known_without_its_content_type() -> None:
    assert looks_like_event_stream(event_stream(EVENTS), b"application/octet-stream")
    assert not looks_like_event_stream(b'{"message": "no"}', b"application/json")


def _framed(header_lines: bytes, payload: bytes) -> bytes:
    prelude = (16 + len(header_lines) + len(payload)).to_bytes(4) + len(header_lines).to_bytes(4)
    message = prelude + zlib.crc32(prelude).to_bytes(4) + header_lines + payload
    return message + zlib.crc32(message).to_bytes(4)

"""Frames become messages, whatever a connection does to them; and nothing that crosses the wire does harm."""

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.providers.sockets.frames import (
    MAX_INFLATED_BYTES,
    MAX_MESSAGE_BYTES,
    FrameReader,
    Message,
    read_messages,
)
from heli.providers.sockets.inflating import Negotiated
from tests.providers.sockets.sockets import DEFLATE, Sender
from tests.standin.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

PLAIN = Negotiated([])


def negotiated(extensions: str) -> Negotiated:
    return Negotiated([(b"Sec-WebSocket-Extensions", extensions.encode())])


def texts(messages: list[Message]) -> list[tuple[str, bytes]]:
    return [(message.kind, message.data) for message in messages]


@pytest.mark.parametrize("is_client", [True, False])
@pytest.mark.parametrize("takes_over", [True, False])
@pytest.mark.parametrize("deflate", [True, False])
def test_fragments_with_control_frames_between_them_are_one_message(
    is_client: bool, takes_over: bool, deflate: bool
) -> None:
    sender = Sender(is_client=is_client, deflate=deflate, takes_over=takes_over)
    words = ["the same words again and again, ünïcödé " * 20, "the same words again", ""]
    wire = b"".join(sender.text(text, pieces=4, between=sender.control(PING, b"there?")) for text in words)
    extensions = (
        DEFLATE if takes_over else f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover"
    )
    reader = FrameReader(negotiated(extensions) if deflate else PLAIN, from_client=is_client)

    messages = reader.feed(wire)

    assert [message.data.decode() for message in messages if message.kind == "text"] == words
    assert ("ping", b"there?") in texts(messages)
    assert reader.trouble == ""
    assert sum(message.wire_bytes for message in messages) == len(wire)


def test_a_window_is_taken_over_from_message_to_message() -> None:
    sender = Sender(is_client=False, deflate=True)
    first, second = (sender.text("all of this was said before, word for word" * 5) for _ in range(2))
    assert len(second) < len(first) / 2

    reader = FrameReader(negotiated(DEFLATE), from_client=False)

    assert len(reader.feed(first + second)) == 2


def test_a_sender_may_leave_a_message_uncompressed_all_the_same() -> None:
    sender, plain = Sender(is_client=False, deflate=True), Sender(is_client=False)
    reader = FrameReader(negotiated(DEFLATE), from_client=False)

    messages = reader.feed(sender.text("one") + plain.text("two") + sender.text("three"))

    assert [message.data for message in messages] == [b"one", b"two", b"three"]


def test_a_small_window_is_read_as_well() -> None:
    squeeze = zlib.compressobj(wbits=-9)
    payload = (squeeze.compress(b"words " * 500) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
    reader = FrameReader(negotiated(f"{DEFLATE}; server_max_window_bits=9"), from_client=False)

    (message,) = reader.feed(frame(TEXT, payload, is_compressed=True))

    assert message.data == b"words " * 500


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 300_000])
def test_lengths_of_all_three_kinds_are_read(size: int) -> None:
    reader = FrameReader(PLAIN, from_client=True)
    (message,) = reader.feed(Sender(is_client=True).message(BINARY, bytes(size)))
    assert (message.kind, len(message.data)) == ("binary", size)


def test_a_message_has_the_time_of_its_last_byte() -> None:
    sender = Sender(is_client=False)
    one, two = sender.text("first"), sender.text("second")
    wire = one + two
    chunks = [(100, 3), (200, len(one) - 3 + 2), (300, len(two) - 2)]

    messages = list(read_messages(FrameReader(PLAIN, from_client=False), wire, chunks))

    assert [(message.data, message.at_us) for message in messages] == [(b"first", 200), (b"second", 300)]


def test_a_torn_tail_is_no_trouble() -> None:
    sender = Sender(is_client=True)
    reader = FrameReader(PLAIN, from_client=True)
    messages = reader.feed(sender.text("whole") + sender.text("never finished")[:-3])
    assert (texts(messages), reader.trouble) == ([("text", b"whole")], "")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"\xff\xff\xff\xff", "opcode 0xf"),
        (frame(CONTINUATION, b"x"), "did not begin"),
        (frame(TEXT, b"x", is_final=False) + frame(TEXT, b"y"), "inside of another"),
        (frame(TEXT, b"x", is_compressed=True), "Reserved bit"),
        (frame(TEXT, b"x", mask=b"abcd"), "masked"),
        (frame(PING, b"x", is_final=False), "fragment control"),
        (b"\x81\x7e\x00\x05hello", "2 bytes"),
    ],
)
def test_damage_ends_the_reading_and_is_told(damage: bytes, reason: str) -> None:
    sender = Sender(is_client=False)
    reader = FrameReader(PLAIN, from_client=False)

    messages = reader.feed(sender.text("before") + damage + sender.text("after"))

    assert texts(messages)[0] == ("text", b"before")
    assert ("text", b"after") not in texts(messages)
    assert reason in reader.trouble


def test_broken_compression_is_told() -> None:
    reader = FrameReader(negotiated(DEFLATE), from_client=False)
    reader.feed(frame(TEXT, b"\xff" * 40, is_compressed=True))
    assert "server is damaged" in reader.trouble


def test_an_unknown_extension_is_told_and_nothing_is_guessed() -> None:
    reader = FrameReader(negotiated("x-webkit-deflate-frame"), from_client=False)
    assert reader.feed(Sender(is_client=False).text("x")) == []
    assert "extension" in reader.trouble


def a_bomb(unpacked_bytes: int) -> bytes:
    """A compressed message of zeros, a thousand times smaller on the wire."""
    squeeze = zlib.compressobj(9, wbits=-15)
    zeros = bytes(1024 * 1024)
    payload = b"".join(squeeze.compress(zeros) for _ in range(unpacked_bytes >> 20))
    return frame(TEXT, (payload + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4], is_compressed=True)


def test_a_bomb_is_defused() -> None:
    bomb = a_bomb(MAX_INFLATED_BYTES + (64 << 20))
    reader = FrameReader(negotiated(DEFLATE), from_client=False)
    tracemalloc.start()
    try:
        messages = reader.feed(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert messages == []
    assert "unpack to more than" in reader.trouble
    assert peak < MAX_MESSAGE_BYTES * 3


def test_of_a_message_that_is_too_long_the_beginning_is_kept() -> None:
    reader = FrameReader(negotiated(DEFLATE), from_client=False)

    (message,) = reader.feed(a_bomb(MAX_MESSAGE_BYTES * 2))

    assert (len(message.data), message.is_cut, reader.trouble) == (MAX_MESSAGE_BYTES, True, "")


@given(data=st.binary(max_size=300), is_client=st.booleans(), deflate=st.booleans(), step=st.integers(1, 50))
def test_no_bytes_make_it_raise(data: bytes, is_client: bool, deflate: bool, step: int) -> None:
    reader = FrameReader(negotiated(DEFLATE) if deflate else PLAIN, from_client=is_client)
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step], start)


_frames = st.builds(
    frame,
    st.sampled_from([TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE]),
    st.binary(max_size=130),
    is_final=st.booleans(),
    is_compressed=st.booleans(),
)


@given(frames=st.lists(_frames, max_size=12), deflate=st.booleans(), cut=st.integers(0, 200))
def test_however_the_bytes_are_cut_the_messages_are_the_same(
    frames: list[bytes], deflate: bool, cut: int
) -> None:
    wire = b"".join(frames)
    kinds = negotiated(DEFLATE) if deflate else PLAIN
    whole, pieces = FrameReader(kinds, from_client=False), FrameReader(kinds, from_client=False)

    at_once = whole.feed(wire)
    bit_by_bit = pieces.feed(wire[:cut]) + [
        message for byte in wire[cut:] for message in pieces.feed(bytes([byte]))
    ]

    assert texts(at_once) == texts(bit_by_bit)
    assert bool(whole.trouble) == bool(pieces.trouble)

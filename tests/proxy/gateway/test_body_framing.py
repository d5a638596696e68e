"""Where bodies end, however the bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.proxy.gateway.framing import BadFraming, ChunkedBody, LengthBody, NoBody, UntilClose


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    extension=st.sampled_from([b"", b";a=b", b' ; q="x"']),
    trailers=st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: b\r\nC: d\r\n"]),
    behind=st.binary(max_size=8),
    steps=st.lists(st.integers(1, 17), min_size=1, max_size=50),
)
def test_chunked_body_ends_at_its_last_byte_however_it_is_cut(
    chunks: list[bytes], extension: bytes, trailers: bytes, behind: bytes, steps: list[int]
) -> None:
    wire = (
        b"".join(b"%X%b\r\n%b\r\n" % (len(c), extension, c) for c in chunks) + b"0\r\n" + trailers + b"\r\n"
    )
    body, taken, position, data = ChunkedBody(), 0, 0, wire + behind

    for step in steps * (len(data) // len(steps) + 1):
        if body.is_done or position >= len(data):
            break
        taken += body.take(data[position : position + step])
        position += step

    assert body.is_done
    assert taken == len(wire)


@pytest.mark.parametrize(
    ("wire", "good"),
    [
        (b"5\r\nabcdeX\r\n", 3),
        (b"5\r\nabcde\rX", 3),
        (b"g\r\n", 0),
        (b"5\nabcde\r\n", 0),
        (b"-1\r\n", 0),
        (b"0x5\r\n", 0),
        (b"\r\n", 0),
        (b"5\r\nabcde\r\nfffffffffffffffff\r\n", 10),
        (b"0\r\nno colon\r\n\r\n", 3),
        (b"0\r\nA: \0\r\n\r\n", 3),
        (b"1" * 5000, 0),
    ],
)
def test_a_chunk_that_is_none_is_refused_with_what_was_good_before_it(wire: bytes, good: int) -> None:
    with pytest.raises(BadFraming) as bad:
        ChunkedBody().take(wire)

    assert bad.value.good == good


def test_length_body_takes_its_length_and_no_more() -> None:
    body = LengthBody(5)

    assert [body.take(b"abc"), body.is_done, body.take(b"defg"), body.is_done] == [3, False, 2, True]
    assert LengthBody(0).is_done


def test_other_bodies() -> None:
    assert NoBody().take(b"abc") == 0
    assert UntilClose().take(b"abc") == 3
    assert UntilClose().ends_with_connection

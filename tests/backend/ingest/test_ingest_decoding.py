"""Bytes from the network become exchanges, or an error that says why not; never more memory than allowed."""

import contextlib
import uuid

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from heli.backend.ingest.decoding import TooLargeError, decode_batch, decode_live
from heli.schema.errors import UsageError
from heli.schema.exchange import Opened, encode_exchanges
from tests.backend.backend_builders import a_batch, an_exchange

LIMIT = 1_000_000


def test_a_batch_comes_back_as_it_was_sent() -> None:
    exchanges = [an_exchange(), an_exchange()]

    assert decode_batch(a_batch(*exchanges), LIMIT) == exchanges


def test_records_in_flight_come_back() -> None:
    opened = Opened(exchange=an_exchange())

    assert decode_live(zstandard.compress(encode_exchanges([opened])), LIMIT) == [opened]


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zstandard.compress(b"\0" * 500_000_000)

    with pytest.raises(TooLargeError, match="500,000,000"):
        decode_batch(bomb, LIMIT)


def test_a_bomb_that_hides_its_size_is_not_unpacked() -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    bomb = compressor.compress(b"\0" * 50_000_000) + compressor.flush()

    with pytest.raises(TooLargeError):
        decode_batch(bomb, LIMIT)


@pytest.mark.parametrize("cut", [1, 5, 50, -1])
def test_a_cut_batch_is_refused(cut: int) -> None:
    with pytest.raises(UsageError):
        decode_batch(a_batch(an_exchange())[:cut], LIMIT)


def test_an_id_of_another_length_is_refused() -> None:
    with pytest.raises(UsageError, match="exchange 1 has an id of 3 bytes"):
        decode_batch(a_batch(an_exchange(), an_exchange(id=uuid.uuid4().bytes[:3])), LIMIT)


@given(st.binary(max_size=300), st.booleans())
@example(b"\xdd\xff\xff\xff\xff", True)
@example(b"\x91" * 200, True)
def test_no_bytes_do_harm(data: bytes, packed: bool) -> None:
    body = zstandard.compress(data) if packed else data
    for decode in (decode_batch, decode_live):
        with contextlib.suppress(UsageError, TooLargeError):
            decode(body, LIMIT)

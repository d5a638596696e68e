"""Bodies come out as they were meant, whole or cut, in any encoding and any chunking."""

import functools
import gzip
import os
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from heli.providers import encoding
from heli.providers.encoding import arrival_us, decode, decode_body

TEXT = b'{"words": "' + b"in the beginning " * 400 + b'"}'


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": functools.partial(brotli.compress, quality=5),
    "zstd": zstandard.ZstdCompressor().compress,
}


def _chunked(data: bytes, size: int = 100) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _headers(codings: str = "", chunked: bool = False) -> list[tuple[bytes, bytes]]:
    lines = [(b"Date", b"now")]
    if codings:
        lines.append((b"Content-Encoding", codings.encode()))
    return [*lines, (b"TRANSFER-ENCODING", b"Chunked")] if chunked else lines


@pytest.mark.parametrize("coding", PACKERS)
@pytest.mark.parametrize("chunked", [False, True], ids=["plain", "chunked"])
def test_every_coding_is_undone(coding: str, chunked: bool) -> None:
    packed = PACKERS[coding](TEXT)
    wire = _chunked(packed) if chunked else packed

    assert decode_body(_headers(coding, chunked), wire) == TEXT


def test_stacked_codings_are_undone_in_reverse() -> None:
    assert decode_body(_headers("gzip, br"), brotli.compress(gzip.compress(TEXT))) == TEXT


def test_deflate_without_its_header_is_read_too() -> None:
    assert decode_body(_headers("deflate"), _raw_deflate(TEXT)) == TEXT


def test_gzip_of_several_members_is_read_whole() -> None:
    assert decode_body(_headers("gzip"), gzip.compress(TEXT) + gzip.compress(b"more")) == TEXT + b"more"


@pytest.mark.parametrize("coding", PACKERS)
def test_a_cut_body_yields_what_came_before_the_cut(coding: str) -> None:
    text = os.urandom(50_000).hex().encode()
    packed = PACKERS[coding](text)

    found = decode_body(_headers(coding), packed[: len(packed) // 2])

    assert text.startswith(found)
    if coding in ("gzip", "deflate"):  # the others flush by large blocks
        assert len(found) > len(text) // 4


def test_a_body_cut_inside_of_a_chunk_keeps_the_beginning_of_it() -> None:
    wire = _chunked(TEXT)  # each chunk has a head of 10 bytes, 100 of text and 2 of an end

    assert decode_body(_headers(chunked=True), wire[: 2 * 112 + 10 + 16]) == TEXT[: 100 + 100 + 16]


def test_a_body_that_is_not_chunked_after_all_stays_as_it_is() -> None:
    assert decode_body(_headers(chunked=True), b'{"a": 1}') == b'{"a": 1}'


def test_an_unknown_coding_leaves_the_bytes_alone() -> None:
    assert decode_body(_headers("rot13"), b"uryyb") == b"uryyb"


def test_garbage_is_told_and_not_raised() -> None:
    decoded = decode(_headers("gzip"), b"not gzip at all")

    assert decoded.data == b""
    assert decoded.trouble.startswith("body (gzip) could not be decompressed")


@pytest.mark.parametrize("coding", PACKERS)
def test_a_bomb_is_defused(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MAX_DECODED_BYTES", 1_000_000)

    decoded = decode(_headers(coding), PACKERS[coding](bytes(20_000_000)))

    assert len(decoded.data) <= 1_000_000


@given(
    data=st.binary(max_size=2_000),
    coding=st.sampled_from(["", "gzip", "deflate", "br", "zstd", "gzip,br"]),
    chunked=st.booleans(),
)
def test_any_bytes_decode_to_something(data: bytes, coding: str, chunked: bool) -> None:
    assert isinstance(decode(_headers(coding, chunked), data).data, bytes)


@given(
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=20),
    coding=st.sampled_from(["", "gzip", "zstd", "br", "deflate"]),
    offset=st.integers(1, len(TEXT)),
)
def test_the_time_of_a_byte_is_that_of_the_piece_which_completed_it(
    cuts: list[int], coding: str, offset: int
) -> None:
    wire = _chunked(PACKERS[coding](TEXT) if coding else TEXT)
    chunks = [(number * 10, size) for number, size in enumerate(cuts)]
    chunks.append((990, max(0, len(wire) - sum(cuts))))

    found = arrival_us(_headers(coding, chunked=True), wire, chunks, offset)

    seen = next(n for n in range(1, len(chunks) + 1) if _decoded_after(wire, chunks[:n], coding) >= offset)
    assert found == chunks[seen - 1][0]


def _decoded_after(wire: bytes, chunks: list[tuple[int, int]], coding: str) -> int:
    return len(decode_body(_headers(coding, chunked=True), wire[: sum(size for _, size in chunks)]))


def test_the_time_is_unknown_when_the_pieces_end_before_the_byte() -> None:
    assert arrival_us([], b"abc", [(5, 2)], 3) is None

"""A head that was seen before, but for its length, is sent on and recorded as if it had been read anew."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.proxy.gateway.heads import read_request_head
from heli.proxy.gateway.outgoing import Outgoing
from heli.proxy.gateway.targets import Target

TARGET = Target("https://api.openai.com", "api.openai.com", 443, is_tls=True, is_trusted=False)


def a_block(*lines: str, target: str = "/v1/x") -> bytes:
    return "\r\n".join([f"POST {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def outgoing(block: bytes) -> Outgoing:
    return Outgoing(read_request_head(block, 100), TARGET, block, pytest.fail)


EXTRA = st.sampled_from(
    ["Authorization: Bearer sk-1", "Helicone-User-Id: a", "X-Length: 12", "content-type:  application/json "]
)


@given(
    before=st.lists(EXTRA, unique=True, max_size=3),
    after=st.lists(
        st.sampled_from(["X-A: 12", "Connection: keep-alive", "X-B: Content-Length: 12"]), max_size=2
    ),
    spelling=st.sampled_from(["Content-Length: {}", "content-length:{}", "Content-length:  {} \t"]),
    first=st.integers(0, 10**6),
    second=st.integers(0, 10**12),
)
def test_another_length_is_as_if_read_anew(
    before: list[str], after: list[str], spelling: str, first: int, second: int
) -> None:
    def block(length: int) -> bytes:
        return a_block("Host: h", *before, spelling.format(length), *after)

    seen, fresh = outgoing(block(first)), outgoing(block(second))

    digits = seen.again(block(second))

    assert digits == str(second).encode()
    assert seen.forwarded(digits) == fresh.forwarded(fresh.digits)
    assert seen.captured(digits) == fresh.captured(fresh.digits)
    assert seen.captured(seen.digits) == outgoing(block(first)).captured(seen.digits)


def test_a_head_without_a_length_is_seen_again_only_as_it_was() -> None:
    seen = outgoing(a_block("Host: h", "A: b"))

    assert seen.again(a_block("Host: h", "A: b")) == b""
    assert seen.again(a_block("Host: h", "A: c")) is None
    assert seen.again(a_block("Host: h", "A: b", "Content-Length: 1")) is None


@pytest.mark.parametrize(
    "other",
    [
        a_block("Host: h", "Content-Length: 12", "A: b", target="/v1/y"),
        a_block("Host: h", "Content-Length: 12", "A: c"),
        a_block("Host: h", "Content-Length: +12", "A: b"),
        a_block("Host: h", "Content-Length: 12, 12", "A: b"),
        a_block("Host: h", "Content-Length: 12\r\nContent-Length: 12", "A: b"),
        a_block("Host: h", "Content-Length: 12\r\nTransfer-Encoding: chunked", "A: b"),
        a_block("Host: h", "Content-Length: ", "A: b"),
        a_block("Host: h", "Content-Length: 1234567890123456", "A: b"),
        a_block("Host: h", "Content-Length:  12", "A: b"),
    ],
)
def test_what_differs_in_more_than_a_plain_length_is_read_anew(other: bytes) -> None:
    assert outgoing(a_block("Host: h", "Content-Length: 12", "A: b")).again(other) is None


def test_helis_key_goes_no_further_also_when_seen_again() -> None:
    key = "sk-helicone-abcdefg-abcdefg-abcdefg-abcdefg"
    seen = outgoing(a_block("Host: h", "Content-Length: 1", target=f"/{key}/v1/x?key=AIza"))

    digits = seen.again(a_block("Host: h", "Content-Length: 22", target=f"/{key}/v1/x?key=AIza"))

    assert digits == b"22"
    assert (
        seen.forwarded(digits)
        == b"POST /v1/x?key=AIza HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 22\r\n\r\n"
    )
    assert seen.path == "/v1/x?key=***"
    assert seen.key_digest == hashlib.sha256(f"Bearer {key}".encode()).digest()

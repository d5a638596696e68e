"""What is read of a head, what travels on, and what is refused."""

from http import HTTPStatus

import pytest

from heli.proxy.gateway.framing import ChunkedBody, LengthBody, NoBody, UntilClose
from heli.proxy.gateway.heads import BadHead, read_reply_head, read_request_head


def request(*lines: str, first: str = "POST /v1/x?a=1 HTTP/1.1") -> bytes:
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


def test_lines_travel_on_as_they_stand_and_hop_lines_stay() -> None:
    head = read_request_head(
        request(
            "hOsT:  heli.test",
            "X-Odd:no blank",
            "X-Odd:  two  ",
            "Connection: keep-alive, X-Mine",
            "X-Mine: 1",
            "TE: trailers",
            "Keep-Alive: 5",
            "Helicone-User-Id: alice",
            "heli-x: 1",
            "Content-Length: 12",
        ),
        max_headers=100,
    )

    assert head.lines == [b"hOsT", b"X-Odd:no blank", b"X-Odd:  two  ", b"Content-Length: 12"]
    assert head.host_line == 0
    assert head.heli == {b"helicone-user-id": b"alice", b"heli-x": b"1"}
    assert (head.method, head.target, head.content_length) == (b"POST", b"/v1/x?a=1", 12)


def test_secrets_are_masked_in_what_is_recorded_and_only_there() -> None:
    head = read_request_head(request("Host: h", "Authorization: Bearer sk-1", "x-api-key: k"), 100)

    assert head.captured == [(b"Host", b"h"), (b"Authorization", b"***"), (b"x-api-key", b"***")]
    assert head.lines[1:] == [b"Authorization: Bearer sk-1", b"x-api-key: k"]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: a", "Host: b"], 400),
        ([], 400),
        (["Host: a", "Content-Length: 1", "Content-Length: 1"], 400),
        (["Host: a", "Content-Length: 1, 1"], 400),
        (["Host: a", "Content-Length: +1"], 400),
        (["Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"], 400),
        (["Host: a", "Transfer-Encoding: gzip, chunked"], 501),
        (["Host: a", "Transfer-Encoding: xchunked"], 400),
        (["Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
        (["Host: a", "A : b"], 400),
        (["Host: a", "A: b\r\n c"], 400),
        (["Host: a", "A: b\nB: c"], 400),
        (["Host: a", "A: b\rc"], 400),
        (["Host: a", "A: b\0c"], 400),
        (["Host: a", ": b"], 400),
        (["Host: a"] + [f"A{n}: b" for n in range(100)], 431),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(lines: list[str], status: int) -> None:
    with pytest.raises(BadHead) as bad:
        read_request_head(request(*lines), max_headers=100)

    assert bad.value.status == status


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("GET / HTTP/2.0", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        ("GET  / HTTP/1.1", HTTPStatus.BAD_REQUEST),
        ("GET http://other/ HTTP/1.1", HTTPStatus.BAD_REQUEST),
        ("CONNECT other:443 HTTP/1.1", HTTPStatus.BAD_REQUEST),
        ("FROB / HTTP/1.1", HTTPStatus.BAD_REQUEST),
        ("GET /\x01 HTTP/1.1", HTTPStatus.BAD_REQUEST),
    ],
)
def test_first_lines_that_are_refused(first: str, status: HTTPStatus) -> None:
    with pytest.raises(BadHead) as bad:
        read_request_head(request("Host: h", first=first), 100)

    assert bad.value.status == status


def test_a_chunked_request_of_version_1_0_is_refused() -> None:
    with pytest.raises(BadHead, match="in one that its version does not know"):
        read_request_head(request("Host: h", "Transfer-Encoding: chunked", first="POST / HTTP/1.0"), 100)


@pytest.mark.parametrize(
    ("lines", "closes"),
    [
        (("HTTP/1.1", "A: b"), False),
        (("HTTP/1.1", "Connection: close"), True),
        (("HTTP/1.1", "Connection: Keep-Alive, Close"), True),
        (("HTTP/1.0", "A: b"), True),
        (("HTTP/1.0", "Connection: keep-alive"), False),
    ],
)
def test_who_ends_the_connection(lines: tuple[str, str], closes: bool) -> None:
    version, line = lines

    assert read_request_head(request("Host: h", line, first=f"GET / {version}"), 100).wants_close is closes


@pytest.mark.parametrize(
    ("status", "method", "lines", "kind"),
    [
        (200, b"GET", ["Content-Length: 5"], LengthBody),
        (200, b"GET", ["Transfer-Encoding: chunked"], ChunkedBody),
        (200, b"GET", ["A: b"], UntilClose),
        (200, b"HEAD", ["Content-Length: 5"], NoBody),
        (204, b"GET", ["A: b"], NoBody),
        (304, b"GET", ["Content-Length: 5"], NoBody),
    ],
)
def test_how_replies_are_framed(status: int, method: bytes, lines: list[str], kind: type) -> None:
    head = read_reply_head(request(*lines, first=f"HTTP/1.1 {status} Whatever Reason"))

    assert isinstance(head.body(method), kind)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Transfer-Encoding: frob"],
        ["Content-Length: -5"],
        ["A: b\r\n folded"],
    ],
)
def test_replies_that_could_be_read_in_two_ways_are_refused(lines: list[str]) -> None:
    with pytest.raises(BadHead):
        read_reply_head(request(*lines, first="HTTP/1.1 200 OK"))


def test_a_reply_keeps_its_lines_and_loses_its_hops() -> None:
    head = read_reply_head(
        request(
            "Set-Cookie: a=b",
            "connection: close",
            "Helicone-Id: theirs",
            "Host: odd",
            first="HTTP/1.1 200 OK",
        )
    )

    assert head.lines == [b"Set-Cookie: a=b", b"Helicone-Id: theirs", b"Host: odd"]
    assert head.captured[0] == (b"Set-Cookie", b"***")
    assert head.wants_close


def test_a_replys_own_host_headers_are_nothing_special() -> None:
    head = read_reply_head(
        request("foo: 1", "Host: x", "Host: y", "Connection: foo", first="HTTP/1.1 200 OK")
    )

    assert head.lines == [b"Host: x", b"Host: y"]

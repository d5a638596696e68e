"""P1: an exchange by way of the gateway is the same, byte for byte, as one without it.

Each generated request is sent twice, straight to the stand-in and through the gateway. What the stand-in
received and what the client got must be equal, but for the headers that concern one connection only and those
that are heli's own. What was recorded must be what crossed the wire.
"""

import base64
import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.rel.heli_under_test import HeliUnderTest
from tests.rel.ingest_sink import IngestSink
from tests.rel.raw_client import Answered, Message, exchange
from tests.rel.sizes import seeded, sized
from tests.standin import StandIn

EXCHANGES = sized(1_000, 10_000)
HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
}
OWN = {b"helicone-id", b"helicone-status"}
FRAMING = {b"host", b"upgrade", b"content-length", b"transfer-encoding", b"expect", b"trailer"}
RESERVED = HOP | OWN | FRAMING | {b"x-standin", b"x-case"}

REQUEST_HOPS = [
    [],
    [],
    [b"Connection: keep-alive"],
    [b"Connection: x-hop", b"X-Hop: 1"],
    [b"TE: trailers", b"Connection: TE"],
]
_token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
names = st.one_of(
    st.text(_token, min_size=1, max_size=20),
    st.sampled_from(
        ["Accept", "ACCEPT-encoding", "x-b3-TraceId", "User-Agent", "cookie", "OpenAI-Beta", "Via"]
    ),
).filter(
    lambda name: name.lower().encode() not in RESERVED and not name.lower().startswith(("helicone-", "heli-"))
)
values = st.text(
    "".join(map(chr, itertools.chain(range(0x21, 0x7F), range(0xA1, 0x100)))) + " \t", max_size=40
)
lines = st.tuples(
    names, st.sampled_from([":", ": ", ":  ", ":\t"]), values, st.sampled_from(["", "", " "])
).map(lambda parts: "".join(parts).encode("latin-1"))
header_lines = st.lists(lines, max_size=12)
trailer_lines = st.lists(lines, max_size=3)
bodies = st.one_of(
    st.just(b""), st.binary(max_size=2_000), st.binary(min_size=1, max_size=50).map(lambda b: b * 2_000)
)
paths = st.text(
    "abcXYZ019-._~!$&'()*+,;=:@/%", max_size=40
).map(lambda text: "/v1/" + text.replace("%", "%2F"))  # fmt: skip
queries = st.one_of(
    st.just(""), st.text("ab=&+%;:@/?~", max_size=30).map(lambda q: "?" + q.replace("%", "%c3"))
)


@st.composite
def chunked(draw: st.DrawFn, body: bytes, trailers: list[bytes]) -> bytes:
    """A body in chunks of drawn sizes, some with an extension, sizes in either case and with zeros before."""
    count = draw(st.integers(0, 5))
    marks = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), min_size=count, max_size=count))})
    framed = b""
    for start, end in itertools.pairwise(marks):
        size = draw(st.sampled_from(["%x", "%X", "%04x"])) % (end - start)
        extension = draw(st.sampled_from(["", "", ";a=b", ';q="x y"']))
        framed += f"{size}{extension}\r\n".encode() + body[start:end] + b"\r\n"
    return framed + b"0\r\n" + b"".join(line + b"\r\n" for line in trailers) + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(
        st.sampled_from(["GET", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
    )
    target = draw(paths) + draw(queries)
    head = draw(header_lines)
    body = draw(bodies) if method in ("POST", "PUT", "PATCH", "DELETE") else b""
    framing = draw(st.sampled_from(["length", "chunked"])) if body or method == "POST" else "none"
    if framing == "chunked":
        trailers = draw(trailer_lines)
        body = draw(chunked(body, trailers))
        line = draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:chunked"]))
        head.insert(draw(st.integers(0, len(head))), line)
    elif framing == "length":
        head.insert(draw(st.integers(0, len(head))), b"Content-Length: %d" % len(body))
    if body and draw(st.integers(0, 9)) == 0:
        head.append(b"Expect: 100-continue")
    hop = draw(st.sampled_from(REQUEST_HOPS))
    head.insert(draw(st.integers(0, len(head))), b"Host: standin.test")
    first = f"{method} {target} HTTP/1.1".encode()
    return b"\r\n".join([first, *head, *hop, b"", b""]) + body


def _encoded(body: bytes, encoding: bytes) -> bytes:
    match encoding:
        case b"gzip":
            return gzip.compress(body, mtime=0)
        case b"deflate":
            return zlib.compress(body)
        case b"br":
            return bytes(brotli.compress(body, quality=1))
        case b"zstd":
            return zstandard.compress(body)
        case _:
            return body


@st.composite
def replies(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A script for the stand-in: interim replies, a head and a body, in pieces."""
    status = draw(
        st.one_of(st.sampled_from([200, 200, 201, 204, 304, 400, 429, 500, 529]), st.integers(200, 599))
    )
    reason = draw(st.text("OK abc-'!", max_size=10)).encode()
    interim = b"".join(
        b"HTTP/1.1 %d Interim\r\nlink: </a>\r\n\r\n" % one
        for one in draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2))
    )
    head = draw(header_lines)
    encoding = draw(st.sampled_from([b"", b"", b"gzip", b"deflate", b"br", b"zstd", b"x-odd"]))
    body = _encoded(draw(bodies), encoding)
    if encoding:
        head.append(b"Content-Encoding: " + encoding)
    framing = draw(st.sampled_from(["length", "chunked", "chunked", "close"]))
    if status in (204, 304):
        body, framing = b"", "none"
    if framing == "chunked":
        body = draw(chunked(body, draw(trailer_lines)))
        head.insert(draw(st.integers(0, len(head))), b"Transfer-Encoding: chunked")
    elif framing == "length":
        head.insert(draw(st.integers(0, len(head))), b"content-LENGTH: %d" % len(body))
    head += draw(st.sampled_from([[], [], [b"Keep-Alive: timeout=5"], [b"connection: x-hop", b"x-hop: 1"]]))
    head_bytes = b"\r\n".join([b"HTTP/1.1 %d %b" % (status, reason), *head, b"", b""])
    whole = interim + head_bytes + body
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    steps: list[dict[str, Any]] = []
    for start, end in itertools.pairwise([0, *cuts, len(whole)]):
        steps += [{"write": base64.b64encode(whole[start:end]).decode()}, {"pause_ms": 1}]
    return [*steps, {"close": "fin"}] if framing == "close" else steps


class Pair:
    """The stand-in, and a gateway before it whose records go to a sink."""

    def __init__(self, standin: StandIn, heli: HeliUnderTest, sink: IngestSink) -> None:
        self.standin = standin
        self.heli = heli
        self.sink = sink
        self.cases: dict[str, tuple[bytes, Answered]] = {}

    def compare(self, request: bytes, steps: list[dict[str, Any]], cuts: list[int]) -> None:
        case = str(len(self.cases))
        self.standin.put_script(case, steps)
        first, _, rest = request.partition(b"\r\n")
        request = (
            first
            + b'\r\nx-standin: {"script": "%b"}\r\nx-case: %b\r\n' % (case.encode(), case.encode())
            + rest
        )
        steps_needed = first.startswith(b"HEAD")
        if steps_needed:
            body_at = [i for i, step in enumerate(steps) if "write" in step]
            whole = b"".join(base64.b64decode(steps[i]["write"]) for i in body_at)
            self.standin.put_script(case, [{"write": _without_body(whole)}])
        pieces = [request[a:b] for a, b in itertools.pairwise([0, *sorted(cuts), len(request)]) if a < b]
        direct = exchange(self.standin.url, pieces, gap_s=0.0005)
        through = exchange(self.heli.url(), pieces, gap_s=0.0005)
        self.cases[case] = (request, through)
        _assert_same_reply(direct, through)
        seen = self.standin.journal(f"x-case: {case}\r")
        assert len(seen) == 2, "the provider saw each request once"
        _assert_same_request(*seen)

    def check_records(self) -> None:
        """Everything that was sent is recorded as it crossed the wire."""
        self.sink.wait_for(len(self.cases), 30)
        recorded = self.sink.by_header("x-case")
        for case, (request, through) in self.cases.items():
            record = recorded[case]
            assert record.request_body == request.partition(b"\r\n\r\n")[2]
            assert record.response_body == through.final.body
            assert record.response_status == through.final.status


def _without_body(whole: bytes) -> bytes:
    """All heads of a reply: what a HEAD request gets."""
    at = 0
    while True:
        end = whole.index(b"\r\n\r\n", at) + 4
        if not whole[at : at + 10].startswith(b"HTTP/1.1 1"):
            return whole[:end]
        at = end


def _assert_same_reply(direct: Answered, through: Answered) -> None:
    assert through.ending == direct.ending
    assert [m.line for m in through.messages] == [m.line for m in direct.messages]
    assert through.messages[:-1] == direct.messages[:-1]
    assert _lasting(through.final) == _lasting(direct.final)
    assert through.final.body == direct.final.body


def _lasting(message: Message) -> list[tuple[bytes, bytes]]:
    return _without(message.headers, OWN)


def _without(headers: list[tuple[bytes, bytes]], own: set[bytes]) -> list[tuple[bytes, bytes]]:
    """Headers but those of one connection, which are also the ones that `connection` names."""
    lists = [value for name, value in headers if name.lower() == b"connection"]
    named = {option.strip().lower() for value in lists for option in value.split(b",")}
    left_out = (HOP | own | named) - {b""}
    return [(name, value) for name, value in headers if name.lower() not in left_out]


def _assert_same_request(direct: dict[str, Any], through: dict[str, Any]) -> None:
    for name in ("method", "target", "body_sha256", "wire_sha256", "chunk_sizes", "trailers"):
        assert through[name] == direct[name], name
    assert _forwarded(through) == _forwarded(direct)


def _forwarded(entry: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    lines = entry["head"].encode("latin-1").split(b"\r\n")[1:-2]
    pairs = [
        (name, b"" if name.lower() == b"host" else value)
        for name, _, value in (x.partition(b":") for x in lines)
    ]
    return _without(pairs, set())


@pytest.fixture(scope="module")
def pair(_standin_process: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    _standin_process.reset()
    home: Path = tmp_path_factory.mktemp("p1")
    with IngestSink() as sink, HeliUnderTest(home, _standin_process.url, backend_url=sink.url) as heli:
        yield Pair(_standin_process, heli, sink)


@pytest.mark.slow
@pytest.mark.timeout(sized(300, 3_000))
def test_generated_exchanges_are_the_same_through_the_gateway(pair: Pair) -> None:
    @seed(seeded("P1").getrandbits(32))
    @settings(
        max_examples=EXCHANGES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(), replies(), st.lists(st.integers(1, 400), max_size=2))
    def run(request: bytes, steps: list[dict[str, Any]], cuts: list[int]) -> None:
        pair.compare(request, steps, [cut for cut in cuts if cut < len(request)])

    run()
    assert len(pair.cases) >= EXCHANGES
    pair.check_records()

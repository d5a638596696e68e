"""What a request asks the stand-in to do; the fields are explained in the package's docstring."""

import hashlib
import json
import random
import re
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

type Pairs = list[tuple[str, str]]

GOOD_FRAMINGS = ("length", "chunked", "close", "http10")
BROKEN_FRAMINGS = (
    "wrong_length",  # promises 100 bytes more than come
    "short_length",  # promises 10 bytes fewer than come
    "two_lengths",
    "negative_length",
    "length_and_chunked",
    "unknown_coding",  # transfer-encoding: frob
    "bad_chunk",  # a chunk size that is no number
    "cut_chunk",  # ends inside a chunk
    "no_last_chunk",  # ends after a whole chunk, without the last one
    "garbage",  # not HTTP at all
    "bad_status",
    "bad_version",
    "bad_header",  # a header line without a colon
    "nul_header",
    "huge_head",  # 1 MiB of header
    "empty",  # the connection ends without a byte
)
FRAMINGS = GOOD_FRAMINGS + BROKEN_FRAMINGS
type Framing = Literal[
    "", "length", "chunked", "close", "http10",
    "wrong_length", "short_length", "two_lengths", "negative_length", "length_and_chunked", "unknown_coding",
    "bad_chunk", "cut_chunk", "no_last_chunk", "garbage", "bad_status", "bad_version", "bad_header",
    "nul_header", "huge_head", "empty",
]  # fmt: skip


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: int = 200
    retry_after: float | None = None
    headers: Pairs = []
    text: str | None = None
    finish_reason: str | None = None
    reasoning: str = ""
    tools: bool = True
    usage: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    chunks: int | None = None
    interval_ms: float = 0
    body_bytes: int | None = None
    encoding: Literal["", "gzip", "deflate", "br", "zstd"] = ""
    framing: Framing = ""
    trailers: Pairs = []
    informational: list[int] = []
    delay_s: float = 0
    stall_s: float = 0
    stall_at: Literal["head", "body", "end"] = "body"
    drop: Literal["", "before_head", "mid_head", "after_head", "mid_body", "mid_sse", "at_end"] = ""
    drop_with: Literal["rst", "fin"] = "rst"
    early: bool = False
    deflate: Literal["", "takeover", "fresh"] = ""
    frames: int = 0
    frame_bytes: int = 1024
    script: str = ""


class BadScenarioError(Exception):
    """The request holds something that looks like a scenario and is none."""


_MARKER = re.compile(rb"\[\[standin (.*?)\]\]", re.DOTALL)
_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*#\{(?:[^"\\]|\\.)*")')


def find_scenario(header: bytes | None, target: str, body: bytes = b"") -> Scenario:
    for text in _candidates(header, target, body):
        try:
            return msgspec.json.decode(text, type=Scenario)
        except msgspec.DecodeError as error:
            raise BadScenarioError(f"{text!r}: {error}") from error
    return Scenario()


def _candidates(header: bytes | None, target: str, body: bytes) -> Iterator[str]:
    if header is not None:
        yield header.decode()
    url = urlsplit(target)
    if "standin" in (query := parse_qs(url.query)):
        yield query["standin"][0]
    if "#{" in (path := unquote(url.path)):
        yield path.split("#", 1)[1].rsplit(":", 1)[0]
    if found := _MODEL.search(body):
        yield json.loads(found[1]).split("#", 1)[1]
    if found := _MARKER.search(body):
        yield _unescape(found[1].decode())


def _unescape(text: str) -> str:
    """In a JSON body the marker's quotes are escaped, once for each string that it is nested in."""
    while '\\"' in text:
        text = json.loads(f'"{text}"')
    return text


_BLOCK = random.Random(0).randbytes(1 << 20)


def pattern(size: int, piece: int = 1 << 16) -> Iterator[bytes]:
    """`size` bytes that do not compress, the same every time, in pieces."""
    view = memoryview(_BLOCK)
    sent = 0
    while sent < size:
        start = sent % len(_BLOCK)
        part = view[start : start + min(piece, size - sent)]
        sent += len(part)
        yield bytes(part)


def pattern_sha256(size: int) -> str:
    digest = hashlib.sha256()
    for piece in pattern(size, 1 << 20):
        digest.update(piece)
    return digest.hexdigest()

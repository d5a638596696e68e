"""What each header means to the gateway: which travel on, which stay here, and which are secrets."""

import re
from functools import lru_cache
from typing import Final, cast

from heli.schema.exchange import MASKED


class Kind:
    """A header's kind: a set of bits, plain integers because each header of each call is looked at."""

    PLAIN: Final = 0
    """Travels on untouched and is recorded as it is."""
    HOP: Final = 1
    """Concerns one connection only, and stays here."""
    HELI: Final = 2
    """Is meant for heli, and stays here."""
    SECRET: Final = 4
    """Must not be recorded."""
    URL: Final = 8
    """Holds a URL, in which there may be a secret."""
    HOST: Final = 16
    LENGTH: Final = 32
    ENCODING: Final = 64
    CONNECTION: Final = 128
    UPGRADE: Final = 256
    AUTHORIZATION: Final = 512
    STAYS: Final = HOP | HELI | CONNECTION | UPGRADE
    """What does not travel on as it is."""
    READ: Final = HELI | HOST | LENGTH | ENCODING | CONNECTION | UPGRADE | AUTHORIZATION
    """What the gateway itself reads."""


_READ = {
    b"host": Kind.HOST,
    b"content-length": Kind.LENGTH,
    b"transfer-encoding": Kind.ENCODING,
    b"connection": Kind.CONNECTION,
    b"upgrade": Kind.UPGRADE,
    b"authorization": Kind.AUTHORIZATION,
}
"""Headers that the gateway itself reads."""
_HOP = frozenset({b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"})
_URLS = frozenset(
    {
        b"referer",
        b"location",
        b"content-location",
        b"helicone-target-url",
        b"helicone-openai-api-base",
        b"link",
    }
)
_NOT_SECRET = frozenset(
    {
        b"sec-websocket-key",
        b"sec-websocket-accept",
        b"idempotency-key",
        b"x-idempotency-key",
        b"helicone-token-limit-exception-handler",
    }
)
_ALWAYS_SECRET = frozenset({b"helicone-fallbacks", b"helicone-auth", b"sec-websocket-protocol"})
_SECRET_NAME = re.compile(
    rb"(?:^|[-_])(?:auth|key|token|jwt|sig|credentials?|passwd|session-?key)(?:[-_]|$)"
    rb"|authorization|api-?_?key|secret|password|cookie|signature"
)
_QUERY_SECRET = re.compile(
    rb"(?i)([?&;](?:[a-z0-9_.-]*(?:key|token|secret|password|signature|credential)|sig|code|auth)=)[^&;#\s]+"
)
_USER_INFO = re.compile(rb"(//)[^/?#@\s]+@")

type Pair = tuple[bytes, bytes]
"""Name and value as they are recorded."""

_pairs: dict[bytes, Pair] = {}
_kinds: dict[bytes, int] = {}
"""What is known of lines seen before: programs send most of theirs with each call."""
_MOST_LINES = 4096
_LONGEST_LINE = 256


def read_lines(lines: list[bytes]) -> tuple[list[Pair], list[int]]:
    """Take header lines apart: what is recorded of each, and its kind."""
    pairs, kinds = list(map(_pairs.get, lines)), list(map(_kinds.get, lines))
    if None in pairs:
        for index, line in enumerate(lines):
            if pairs[index] is None:
                pairs[index], kinds[index] = _read_line(line)
    return cast("list[Pair]", pairs), cast("list[int]", kinds)


def _read_line(line: bytes) -> tuple[Pair, int]:
    """Lines with secrets are not kept in memory."""
    name, _, value = line.partition(b":")
    kind = kind_of(name)
    pair = name, mask_value(kind, value.strip(b" \t"))
    if not kind & (Kind.SECRET | Kind.URL) and len(line) <= _LONGEST_LINE:
        if len(_pairs) >= _MOST_LINES:
            _pairs.clear()
            _kinds.clear()
        _pairs[line], _kinds[line] = pair, kind
    return pair, kind


@lru_cache(maxsize=4096)
def kind_of(name: bytes) -> int:
    """The kind of a header by its name, in any case."""
    lower = name.lower()
    kind: int = _READ.get(lower, Kind.PLAIN)
    if lower in _HOP:
        kind |= Kind.HOP
    if lower.startswith((b"helicone-", b"heli-")):
        kind |= Kind.HELI
    if lower in _URLS:
        kind |= Kind.URL
    if _is_secret(lower):
        kind |= Kind.SECRET
    return kind


def _is_secret(lower: bytes) -> bool:
    if lower in _ALWAYS_SECRET:
        return True
    if lower in _NOT_SECRET or lower.startswith((b"helicone-property-", b"helicone-cache-")):
        return False
    return _SECRET_NAME.search(lower) is not None


def mask_value(kind: int, value: bytes) -> bytes:
    """What may be recorded of a header's value."""
    if kind & Kind.SECRET:
        return MASKED
    if kind & Kind.URL:
        return mask_url(value)
    return value


def mask_url(url: bytes) -> bytes:
    """A URL, or its path, without keys in the query and without user-info."""
    if b"=" in url:
        url = _QUERY_SECRET.sub(rb"\g<1>" + MASKED, url)
    if b"@" in url:
        url = _USER_INFO.sub(rb"\g<1>" + MASKED + b"@", url)
    return url

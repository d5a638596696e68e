"""What each header means to the gateway: which travel on, which stay here, and what is recorded of them."""

from functools import lru_cache
from typing import Final

from heli.proxy.gateway.masking import is_secret_name, mask_value


class Kind:
    """A header's kind: a set of bits, plain integers because each header of each call is looked at."""

    PLAIN: Final = 0
    """Travels on untouched."""
    HOP: Final = 1
    """Concerns one connection only, and stays here."""
    HELI: Final = 2
    """Is meant for heli, and stays here."""
    SECRET: Final = 4
    """Must not be recorded."""
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
_HOP = frozenset({b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"})

type Pair = tuple[bytes, bytes]
"""Name and value as they are recorded."""


class Line:
    """A header line, taken apart."""

    __slots__ = ("kind", "pair", "value")

    def __init__(self, pair: Pair, kind: int, value: bytes) -> None:
        self.pair = pair
        """What is recorded of it."""
        self.kind = kind
        self.value = value
        """As it came, secrets and all."""


_known: dict[bytes, Line] = {}
"""What is known of lines seen before: programs send most of theirs with each call."""
_MOST_LINES = 4096
_LONGEST_LINE = 256
_LONGEST_NAME = 64


def read_line(line: bytes) -> Line:
    """Take a header line apart."""
    known = _known.get(line)
    return _read_line(line) if known is None else known


def _read_line(line: bytes) -> Line:
    """Lines of which anything is masked are not kept in memory."""
    name, _, value = line.partition(b":")
    kind = kind_of(name) if len(name) <= _LONGEST_NAME else _classify(name)
    value = value.strip(b" \t")
    recorded = mask_value(is_secret=bool(kind & Kind.SECRET), value=value)
    read = Line((name, recorded), kind, value)
    if recorded == value and len(line) <= _LONGEST_LINE:
        if len(_known) >= _MOST_LINES:
            _known.clear()
        _known[line] = read
    return read


def _classify(name: bytes) -> int:
    """The kind of a header by its name, in any case."""
    lower = name.lower()
    kind: int = _READ.get(lower, Kind.PLAIN)
    if lower in _HOP:
        kind |= Kind.HOP
    if lower.startswith((b"helicone-", b"heli-")):
        kind |= Kind.HELI
    if is_secret_name(lower):
        kind |= Kind.SECRET
    return kind


kind_of = lru_cache(maxsize=4096)(_classify)

"""The headers that the interceptor gives a call on its way to the gateway, and those that it takes away."""

import re
from collections.abc import Iterable

from heli.proxy.handover import ORIGIN_HEADER, SECRET_HEADER
from heli.schema.run import Run

type Pairs = tuple[tuple[bytes, bytes], ...]

LONGEST_VALUE = 2048
MOST_PROPERTIES = 64
_NOT_IN_VALUES = re.compile(r"[\x00-\x1f\x7f]+")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


def run_headers(run: Run) -> Pairs:
    """What a run tells of its calls, in the headers by which callers tell it themselves."""
    told = [
        (b"Helicone-Session-Id", run.session_id),
        (b"Helicone-Session-Name", run.session_name),
        (b"Helicone-User-Id", run.user_id),
    ]
    for name, value in list(run.properties.items())[:MOST_PROPERTIES]:
        if key := _NOT_IN_NAMES.sub("-", name).strip("-"):
            told.append((f"Helicone-Property-{key[:100]}".encode("ascii"), value))
    return tuple((name, text) for name, value in told if (text := _plain(value)))


def _plain(value: str) -> bytes:
    """A value as a header can hold it."""
    text = _NOT_IN_VALUES.sub(" ", value[:LONGEST_VALUE]).strip()
    return text.encode("utf-8", "replace")


def handed_over(fields: Pairs, origin: str, secret: str, run: Run | None, room: int) -> Pairs:
    """The headers of a call on its way to the gateway; tags only where they fit into `room` bytes.

    What the caller says of itself counts: with a session of its own it is not put into the run's.
    """
    own = {name.lower() for name, _ in fields}
    tags = [pair for pair in run_headers(run) if pair[0].lower() not in own] if run else []
    if b"helicone-session-id" in own:
        tags = [pair for pair in tags if pair[0] != b"Helicone-Session-Name"]
    if header_bytes(tags) > room:
        tags = []
    last = ((ORIGIN_HEADER, origin.encode("ascii")), (SECRET_HEADER, secret.encode("ascii")))
    return (*_without_handover(fields), *tags, *last)


def for_provider(fields: Pairs) -> Pairs:
    """The headers of a call that goes to its provider without the gateway."""
    return tuple(
        pair for pair in fields if not pair[0].lower().startswith((b"helicone-", b"heli-", b"proxy-"))
    )


def header_bytes(fields: Iterable[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in fields)


def _without_handover(fields: Pairs) -> Pairs:
    """Nobody but heli writes these; a second one of a name must not come first."""
    return tuple(pair for pair in fields if not pair[0].lower().startswith((b"heli-intercept-", b"proxy-")))

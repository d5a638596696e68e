"""Who calls: the request's id, and the heli or Helicone key, wherever the caller put it."""

import hashlib
import random
import re
import uuid
from urllib.parse import unquote_to_bytes

from heli.proxy.gateway.heads import RequestHead

_PATH_KEY = re.compile(
    rb"(?i)/((?:sk|pk)(?:-|%2d)helicone(?:-|%2d)[a-z0-9%-]+|heli(?:_|%5f)[sp]k(?:_|%5f)[a-z0-9]+)(?=/|\?|$)"
)
_SECOND_KEY = re.compile(rb"(?i),\s*(Bearer\s+(?:(?:sk|pk)-helicone-|heli_[sp]k_)[^\s,]+)")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_MOST_ASKED = 65_536
_VERSION_BITS = 0x4 << 76 | 0x2 << 62
_RANDOM_BITS = (1 << 128) - 1 - (0xF << 76) - (0x3 << 62)


def make_id() -> bytes:
    """A fresh random UUID, version 4, as 16 bytes. Not a secret, so the fast generator will do."""
    return (random.getrandbits(128) & _RANDOM_BITS | _VERSION_BITS).to_bytes(16)


class RequestIds:
    """Gives each call its id: the caller's own where that is valid and new, else a fresh one.

    An id that comes a second time, as it does when a client sends a failed request again with the same
    headers, would make one record of two calls.
    """

    def __init__(self) -> None:
        self._asked: dict[bytes, None] = {}
        """The callers' own ids, oldest first."""

    def choose(self, head: RequestHead) -> bytes:
        asked = head.heli.get(b"helicone-request-id") if head.heli else None
        if not asked or not _UUID.fullmatch(asked):
            return make_id()
        call_id = uuid.UUID(asked.decode("ascii")).bytes
        if call_id in self._asked:
            return make_id()
        if len(self._asked) >= _MOST_ASKED:
            del self._asked[next(iter(self._asked))]
        self._asked[call_id] = None
        return call_id


def id_text(call_id: bytes) -> bytes:
    """An id as people and headers spell it."""
    digits = call_id.hex()
    text = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return text.encode("ascii")


def take_key(head: RequestHead) -> bytes | None:
    """Take heli's key out of the head, so that no provider sees it; return its digest, `None` without one.

    It may stand in `Helicone-Auth`, in segments of the path, or behind the provider's own in
    `Authorization`. The first of them counts, in this order, and all of them are taken out.
    """
    keys = [head.heli[b"helicone-auth"]] if b"helicone-auth" in head.heli else []
    if b"heli" in head.target.lower():
        keys += _take_path_keys(head)
    if head.has_second_key:
        keys += _take_second_keys(head)
    return hashlib.sha256(keys[0]).digest() if keys else None


def _take_path_keys(head: RequestHead) -> list[bytes]:
    path, mark, query = head.target.partition(b"?")
    keys = [b"Bearer " + unquote_to_bytes(match[1]) for match in _PATH_KEY.finditer(path)]
    if keys:
        path = _PATH_KEY.sub(b"", path)
        head.target = (path if path.startswith(b"/") else b"/" + path) + mark + query
    return keys


def _take_second_keys(head: RequestHead) -> list[bytes]:
    keys = []
    for index, line in enumerate(head.lines):
        if b"," in line and line[:14].lower() == b"authorization:":
            keys += [match[1] for match in _SECOND_KEY.finditer(line)]
            head.lines[index] = _SECOND_KEY.sub(b"", line)
    return keys

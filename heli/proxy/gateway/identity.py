"""Who calls: the request's id, and the heli or Helicone key, wherever the caller put it."""

import hashlib
import os
import re
import uuid
from binascii import hexlify
from typing import Final
from urllib.parse import unquote_to_bytes

from heli.proxy.gateway.heads import RequestHead

_PATH_KEY = re.compile(
    rb"(?i)/((?:sk|pk)(?:-|%2d)helicone(?:-|%2d)[a-z0-9%-]+|heli(?:_|%5f)[sp]k(?:_|%5f)[a-z0-9]+)(?=/|\?|$)"
)
_SECOND_KEY = re.compile(rb"(?i),\s*(Bearer\s+(?:(?:sk|pk)-helicone-|heli_[sp]k_)[^\s,]+)")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_MOST_ASKED = 65_536
_FETCHED_BYTES = 4096
_SEVENTH: Final = [bytes([drawn & 0x0F | 0x40]) for drawn in range(256)]
_NINTH: Final = [bytes([drawn & 0x3F | 0x80]) for drawn in range(256)]
"""What becomes of two random bytes of an id: they tell version 4 and its variant."""


class _Randomness:
    """Random bytes, fetched from the system many at a time."""

    def __init__(self) -> None:
        self._bytes = b""
        self._taken = 0

    def take(self) -> bytes:
        """The next 16."""
        start = self._taken
        if start == len(self._bytes):
            self._bytes = os.urandom(_FETCHED_BYTES)
            start = 0
        self._taken = start + 16
        return self._bytes[start : start + 16]

    def forget(self) -> None:
        """After a fork, whose sides would make the same ids."""
        self._bytes = b""
        self._taken = 0


_randomness = _Randomness()
os.register_at_fork(after_in_child=_randomness.forget)


def make_id() -> bytes:
    """A fresh random UUID, version 4, as 16 bytes."""
    drawn = _randomness.take()
    return drawn[:6] + _SEVENTH[drawn[6]] + drawn[7:8] + _NINTH[drawn[8]] + drawn[9:]


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
    digits = hexlify(call_id)
    return b"-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])


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

"""Who calls: the request's id, and the heli or Helicone key, wherever the caller put it."""

import hashlib
import random
import re
import uuid

from heli.proxy.gateway.heads import RequestHead

_PATH_KEY = re.compile(rb"/((?:sk|pk)-helicone-[A-Za-z0-9-]+|heli_[sp]k_[A-Za-z0-9]+)(?=/|\?|$)")
_SECOND_KEY = re.compile(rb"(?i),\s*(Bearer\s+(?:(?:sk|pk)-helicone-|heli_[sp]k_)[^\s,]+)")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_VERSION_BITS = 0x4 << 76 | 0x2 << 62
_RANDOM_BITS = (1 << 128) - 1 - (0xF << 76) - (0x3 << 62)


def make_id() -> bytes:
    """A fresh random UUID, version 4, as 16 bytes. Not a secret, so the fast generator will do."""
    return (random.getrandbits(128) & _RANDOM_BITS | _VERSION_BITS).to_bytes(16)


def request_id(head: RequestHead) -> bytes:
    """The caller's own id for the call where it gave a valid one, else a fresh one."""
    asked = head.heli.get(b"helicone-request-id") if head.heli else None
    if asked and _UUID.fullmatch(asked):
        return uuid.UUID(asked.decode("ascii")).bytes
    return make_id()


def id_text(call_id: bytes) -> bytes:
    """An id as people and headers spell it."""
    digits = call_id.hex()
    text = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return text.encode("ascii")


def take_key(head: RequestHead) -> bytes | None:
    """Take heli's key out of the head, so that no provider sees it; return its digest, `None` without one.

    It may stand in `Helicone-Auth`, in a segment of the path, or behind the provider's own in
    `Authorization`; the first of them counts, and all of them are taken out.
    """
    found = head.heli.get(b"helicone-auth") if head.heli else None
    if b"-helicone-" in head.target or b"/heli_" in head.target:
        match = _PATH_KEY.search(head.target)
        if match:
            head.target = (head.target[: match.start()] + head.target[match.end() :]) or b"/"
            if not head.target.startswith(b"/"):
                head.target = b"/" + head.target
            found = found or b"Bearer " + match[1]
    if head.has_second_key:
        found = _take_second_key(head) or found
    return hashlib.sha256(found).digest() if found else None


def _take_second_key(head: RequestHead) -> bytes | None:
    for index, line in enumerate(head.lines):
        if b"," in line and line[:14].lower() == b"authorization:":
            match = _SECOND_KEY.search(line)
            if match:
                head.lines[index] = line[: match.start()] + line[match.end() :]
                return match[1]
    return None

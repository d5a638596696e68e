"""Reading JSON that nobody has checked: any bytes in, a value or `None` out, and never an exception."""

import json
from typing import Any

import msgspec

type Json = Any
"""What JSON can hold; nothing is known of it until it is looked at."""

MAX_COUNT = 2**53
"""A token count beyond this is a broken reply, not a count."""

_decode = msgspec.json.decode
_NO_FIELDS: dict[str, Json] = {}
_NO_ITEMS: list[Json] = []


class Unreadable:
    """Stands for bytes that are not JSON, as `null` is JSON too."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def decode_json(data: bytes) -> Json | Unreadable:
    """The value in `data`; invalid UTF-8, lone surrogates and out-of-range numbers are borne."""
    try:
        return _decode(data)
    except RecursionError:
        return Unreadable("nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return _decode_sloppy(data)


def _decode_sloppy(data: bytes) -> Json | Unreadable:
    stripped = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if stripped[:1] not in (b"{", b"["):
        return Unreadable("not JSON")
    text = stripped.decode("utf-8", "replace")
    try:
        value = json.loads(text)
        if "\\u" in text:  # a lone surrogate would break whoever writes the text later
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        return Unreadable("nested too deeply")
    except ValueError as error:
        return Unreadable(f"not JSON: {error}"[:200])
    return value


def encode_json(value: Json) -> str:
    """Compact JSON; what cannot be written (a number out of range) is left out as the empty text."""
    try:
        return msgspec.json.encode(value).decode()
    except (msgspec.EncodeError, RecursionError, TypeError, ValueError, OverflowError):
        return ""


def as_dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else _NO_FIELDS


def as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else _NO_ITEMS


def as_text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def as_count(value: Json) -> int | None:
    """A token count; `None` for anything that is not a sane, non-negative whole number."""
    if type(value) is not int:
        if type(value) is not float or not value.is_integer():
            return None
        value = int(value)
    return value if 0 <= value <= MAX_COUNT else None


def field(value: Json, *names: str) -> Json:
    """What lies at `value.a.b.c`, `None` when any step is missing."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value

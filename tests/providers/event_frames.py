"""Frames of AWS's binary event streams, written from its specification: what heli reads has to be real."""

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any


def frame(payload: bytes, headers: dict[str, str] | None = None) -> bytes:
    """One frame with both of its checksums; headers are of the type text."""
    lines = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value.encode()).to_bytes(2) + value.encode()
        for name, value in (headers or {}).items()
    )
    prelude = (16 + len(lines) + len(payload)).to_bytes(4) + len(lines).to_bytes(4)
    prelude += zlib.crc32(prelude).to_bytes(4)
    message = prelude + lines + payload
    return message + zlib.crc32(message).to_bytes(4)


def event_frame(kind: str, content: Any) -> bytes:
    """`kind` is the event's type; `chunk` wraps its content in base64, `!name` is an exception."""
    if kind.startswith("!"):
        names = {
            ":exception-type": kind[1:],
            ":content-type": "application/json",
            ":message-type": "exception",
        }
        return frame(json.dumps(content).encode(), names)
    names = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    if kind == "chunk":
        content = {"bytes": base64.b64encode(json.dumps(content).encode()).decode(), "p": "abcdefgh"}
    return frame(json.dumps(content).encode(), names)


def event_stream(events: Iterable[tuple[str, Any]]) -> bytes:
    return b"".join(event_frame(kind, content) for kind, content in events)

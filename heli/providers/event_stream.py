"""AWS's binary event streams (`application/vnd.amazon.eventstream`), as Bedrock sends its replies.

A frame is two lengths and their checksum, headers, a payload, and a checksum of all of it. Frames whose
checksum is wrong are left out and told; where the lengths cannot be trusted, the next intact frame is
looked for.
Source: the event stream encoding of the AWS SDKs (smithy.io, Amazon Event Stream Specification).
"""

import base64
import binascii
import re
import struct
from zlib import crc32

from heli.providers.framing import Event, Stream
from heli.providers.json_values import Json, Unreadable, as_dict, as_text, decode_json

CONTENT_TYPE = b"application/vnd.amazon.eventstream"

_PRELUDE = struct.Struct(">III")
"""The length of the frame, that of its headers, and the checksum of these two."""
_OVERHEAD = _PRELUDE.size + 4
_LARGEST = 24 * 1024 * 1024
"""What a frame may have, by AWS's own limit of 16 MiB for a payload, and some room."""
_LARGEST_HEADERS = 128 * 1024
_SEARCHED = 512 * 1024
"""Bytes in which the next intact frame is looked for, in all of a body."""

_FIXED_VALUES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""`{type of a header's value: its bytes}` for those that have a length of their own."""
_COUNTED_VALUES = (6, 7)
_TEXT = 7
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def looks_like_event_stream(body: bytes, content_type: bytes) -> bool:
    return content_type.lower().startswith(CONTENT_TYPE) or _frame_length(body, 0) > 0


def read_event_stream(body: bytes) -> Stream:
    """The frames as events, named by `:event-type`; an exception as an `error` event in Anthropic's shape."""
    stream = Stream([])
    damage = _Damage()
    position = 0
    while position < len(body):
        length = _frame_length(body, position)
        if length <= 0:
            if len(body) - position < _PRELUDE.size:
                damage.is_cut = True
                break
            skipped_to = _next_frame(body, position + 1, damage)
            damage.frames += 1
            damage.bytes += skipped_to - position
            position = skipped_to
            continue
        end = position + length
        if end > len(body):
            damage.is_cut = True
            break
        if crc32(body[position : end - 4]) != int.from_bytes(body[end - 4 : end]):
            damage.frames += 1
            damage.bytes += length
        else:
            _take_frame(stream, body, position, end)
        position = end
    stream.trouble = damage.told() or stream.trouble
    return stream


class _Damage:
    """What could not be read of a body."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0
        self.is_cut = False
        self.searched = 0

    def told(self) -> str:
        told = []
        if self.frames:
            told.append(
                f"{self.frames} damaged frame{'s' if self.frames > 1 else ''} ({self.bytes} bytes) left out:"
                " the checksum is wrong"
            )
        if self.is_cut:
            told.append("it ends inside of a frame")
        return "; ".join(told)


def _frame_length(body: bytes, position: int) -> int:
    """How long the frame is that begins here; 0 when none does."""
    if len(body) - position < _PRELUDE.size:
        return 0
    length, header_length, checksum = _PRELUDE.unpack_from(body, position)
    if not _OVERHEAD + header_length <= length <= _LARGEST or header_length > _LARGEST_HEADERS:
        return 0
    return length if crc32(body[position : position + 8]) == checksum else 0


def _next_frame(body: bytes, position: int, damage: _Damage) -> int:
    """Where the next frame begins; the end of the body when it is not found in the time there is."""
    last = min(len(body) - _PRELUDE.size, position + _SEARCHED - damage.searched)
    start = position
    while position <= last:
        # Frames are shorter than 16 MiB, so the first byte of their length is nearly always zero.
        found = body.find(b"\0", position, last + 1)
        if found < 0:
            break
        if _frame_length(body, found) > 0:
            damage.searched += found - start
            return found
        position = found + 1
    damage.searched += max(0, last - start)
    return len(body)


def _take_frame(stream: Stream, body: bytes, position: int, end: int) -> None:
    header_length = int.from_bytes(body[position + 4 : position + 8])
    headers_end = position + _PRELUDE.size + header_length
    headers = _read_headers(body[position + _PRELUDE.size : headers_end])
    payload = body[headers_end : end - 4]
    value = decode_json(payload) if payload else {}
    if isinstance(value, Unreadable):
        stream.trouble = stream.trouble or f"an event of the stream is {value.reason}"
        return
    kind = headers.get(":message-type", "event")
    if kind == "event":
        stream.events.append(Event(headers.get(":event-type", ""), value, end))
        return
    name = headers.get(":exception-type") or headers.get(":error-code") or kind
    message = as_text(as_dict(value).get("message")) or headers.get(":error-message", "")
    stream.events.append(Event("error", stream_error(name, message), end))


def stream_error(name: str, message: str) -> Json:
    """An exception inside of a stream: `throttlingException` as `throttling_exception`."""
    return {"type": "error", "error": {"type": _WORDS.sub("_", name).lower(), "message": message}}


def _read_headers(data: bytes) -> dict[str, str]:
    """Those whose value is a text; what follows one that cannot be read is left."""
    headers: dict[str, str] = {}
    position = 0
    while position < len(data):
        name_end = position + 1 + data[position]
        if name_end >= len(data):
            break
        name = data[position + 1 : name_end].decode("utf-8", "replace")
        kind = data[name_end]
        position = name_end + 1
        if kind in _COUNTED_VALUES:
            length = int.from_bytes(data[position : position + 2])
            value = data[position + 2 : position + 2 + length]
            position += 2 + length
            if kind == _TEXT:
                headers[name] = value.decode("utf-8", "replace")
        elif kind in _FIXED_VALUES:
            position += _FIXED_VALUES[kind]
        else:
            break
    return headers


def unwrap_chunks(stream: Stream) -> Stream:
    """The events of an invoked model: its own JSON lies in `bytes`, in base64."""
    inner = Stream([], stream.is_done, stream.trouble)
    for event in stream.events:
        wrapped = as_dict(event.data).get("bytes")
        if not isinstance(wrapped, str):
            inner.events.append(event)
            continue
        try:
            value = decode_json(base64.b64decode(wrapped, validate=True))
        except (binascii.Error, ValueError):
            value = Unreadable("not base64")
        if isinstance(value, Unreadable):
            inner.trouble = inner.trouble or f"an event of the stream is {value.reason}"
        else:
            inner.events.append(Event(event.name, value, event.end))
    return inner

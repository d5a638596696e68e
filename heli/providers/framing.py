"""How a streamed reply is cut into events: server-sent events, one JSON text a line, or one JSON array.

Every event knows where it ends in the body, which is how heli tells when its first words came.
"""

import re
from collections.abc import Iterator

import msgspec

from heli.providers.json_values import Json, Unreadable, decode_json

_DONE = (b" [DONE]", b"[DONE]")
_EVENT = re.compile(
    rb"(?:\r?\n|:.*\n)*"  # blank lines and comments
    rb"(?:event:(.*)\n)?data:(.*)\n\r?\n"
)
"""An event as nearly all are: perhaps a name, one line of data, a blank line."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_QUOTE = ord('"')
_CLOSING = ord("]")
_MARKS = re.compile(rb'["{}\[\]]')
_TEXT_MARKS = re.compile(rb'["\\]')


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event of a stream."""

    name: str
    """The `event:` field of a server-sent event, else empty."""
    data: Json
    """The decoded JSON."""
    end: int
    """Bytes of the body up to the end of this event's data."""


class Stream(msgspec.Struct, gc=False):
    """A body as events, and whether the framing itself said that it is over."""

    events: list[Event]
    is_done: bool = False
    """`[DONE]`, or the bracket that closes the outermost array, was seen."""
    trouble: str = ""


def looks_like_sse(body: bytes) -> bool:
    head = body[:64].lstrip(b"\xef\xbb\xbf\r\n ")
    return head.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))


def read_sse(body: bytes) -> Stream:
    """Server-sent events as WHATWG defines them; a last event without its blank line counts too."""
    stream = Stream([])
    position = 0
    while found := _EVENT.match(body, position):
        _add_event(stream, found[1], found[2], found.end(2))
        position = found.end()
    if position < len(body):
        _read_lines(stream, body[position:], position)
    return stream


def _read_lines(stream: Stream, rest: bytes, position: int) -> None:
    """Line by line what comes at `position` and is no plain event, such as one of several lines of data."""
    name: bytes | None = None
    data: list[bytes] = []
    data_end = position
    for line in _lines(rest):
        position += len(line) + 1
        if line.startswith(b"data:"):
            data.append(line[5:])
            data_end = position - 1
        elif not line or line == b"\r":
            if data:
                _add_event(stream, name, b"\n".join(data), data_end)
                data = []
            name = None
        elif line.startswith(b"event:"):
            name = line[6:]
    if data:
        _add_event(stream, name, b"\n".join(data), data_end)


def _add_event(stream: Stream, name: bytes | None, text: bytes, end: int) -> None:
    """`text` is the data with the blanks around it, which JSON does not mind."""
    if text.startswith(_DONE):
        stream.is_done = True
        return
    value = decode_json(text)
    if isinstance(value, Unreadable):
        stream.trouble = stream.trouble or f"an event of the stream is {value.reason}"
        return
    stream.events.append(Event(name.strip().decode("utf-8", "replace") if name else "", value, end))


def _lines(body: bytes) -> list[bytes]:
    """The lines, each with the CR of its CRLF; a body that ends its lines with CR alone is read too."""
    if body.startswith(_BYTE_ORDER_MARK):
        body = b"\n\n\n" + body[3:]  # blank lines of the same length, which mean nothing
    return body.split(b"\r" if b"\r" in body and b"\n" not in body else b"\n")


def read_json_lines(body: bytes) -> Stream:
    """One JSON text a line, as Ollama sends it."""
    stream = Stream([])
    position = 0
    for line in _lines(body):
        end = position + len(line)
        position = end + 1
        if not line.strip():
            continue
        value = decode_json(line)
        if isinstance(value, Unreadable):
            stream.trouble = stream.trouble or f"a line of the stream is {value.reason}"
        else:
            stream.events.append(Event("", value, end))
    return stream


def read_json_array(body: bytes) -> Stream:
    """The elements of one JSON array, also of an array that was cut off in the middle."""
    stream = Stream([])
    for start, end in _array_elements(stream, body):
        value = decode_json(body[start:end])
        if isinstance(value, Unreadable):
            stream.trouble = stream.trouble or f"an element of the stream is {value.reason}"
        else:
            stream.events.append(Event("", value, end))
    return stream


def _array_elements(stream: Stream, body: bytes) -> Iterator[tuple[int, int]]:
    """Where each object of the outermost array begins and ends; behind the array the stream is done."""
    depth = 0
    start = -1
    in_text = False
    position = body.find(b"[") + 1
    while mark := (_TEXT_MARKS if in_text else _MARKS).search(body, position):
        byte = body[mark.start()]
        position = mark.end()
        if byte == _QUOTE:
            in_text = not in_text
        elif in_text:
            position += 1  # what follows a backslash
        elif byte in b"{[":
            if depth == 0:
                start = mark.start()
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                yield start, position
            elif depth < 0:
                stream.is_done = byte == _CLOSING
                return

"""An archived exchange as people read it: heads as text, bodies decoded."""

import base64
from typing import Any

import msgspec

from heli.backend.queries.json_text import json_or_none
from heli.backend.stores.bodies import BodyStore
from heli.providers import find_call, rebuild_reply
from heli.providers.encoding import decode_body
from heli.providers.sockets.frames import Message
from heli.providers.sockets.turn import SocketTurn, decode_archived
from heli.providers.sockets.turns import messages_of
from heli.schema.errors import NotFoundError
from heli.schema.exchange import ChunkTimes, Exchange, Headers
from heli.schema.request import Request

MOST_MESSAGES = 10_000
MOST_SHOWN = 64 * 1024


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message on a WebSocket, its frames put together and unpacked."""

    at_us: int | None
    """After the connection was asked for."""
    is_client: bool
    kind: str
    """`text`, `binary`, `close`, `ping` or `pong`."""
    text: str | None
    """`None` where it is not text; cut after 64 KiB."""
    bytes: int


class ExchangeView(msgspec.Struct, frozen=True, kw_only=True):
    """One call as it crossed the wire, with transfer and content encodings undone."""

    request: Request
    method: str
    path: str
    origin: str
    peer: str
    worker: str
    error: str | None
    """Why it did not end well, for people."""
    request_headers: list[tuple[str, str]]
    request_body: str | None
    """Its text; `None` when there is none, or it is not text."""
    request_body_base64: str | None
    """The body when it is not text."""
    request_json: Any
    """The body when it is JSON, as it was sent."""
    request_body_truncated: bool
    """More crossed the wire than was kept."""
    response_status: int | None
    upstream_status: int | None
    """The provider's own status where heli answered with another."""
    response_headers: list[tuple[str, str]]
    response_body: str | None
    response_body_base64: str | None
    response_json: Any
    """The whole reply as the provider's non-streaming JSON, put together again if it was streamed."""
    response_body_truncated: bool
    request_chunks: ChunkTimes
    chunks: ChunkTimes
    """`[[microseconds after the beginning, bytes]]` of the reply, as it was read."""
    request_end_us: int | None
    first_byte_us: int | None
    end_us: int | None
    is_websocket: bool
    messages: list[MessageView] | None
    """What crossed a WebSocket while the request lasted, both ways; `None` for other calls."""


def load_exchange(bodies: BodyStore, request: Request) -> Exchange:
    """The archived exchange of a request. Raises `NotFoundError` when there is none."""
    if not request.body_ref:
        raise NotFoundError(
            f"nothing was archived of {request.id}", f"bodies omitted: {request.bodies_omitted or 'all'}"
        )
    return decode_archived(bodies.get(request.body_ref))


def view_exchange(request: Request, carrier: Exchange) -> ExchangeView:
    """`carrier` is what was archived: the exchange, or the WebSocket that carried it among others."""
    exchange = find_call(carrier, request.id.bytes)
    sent = decode_body(exchange.request_headers, exchange.request_body)
    came = decode_body(exchange.response_headers, exchange.response_body)
    request_body, request_base64 = _text_or_base64(sent)
    response_body, response_base64 = _text_or_base64(came)
    return ExchangeView(
        request=request,
        method=exchange.method,
        path=exchange.path,
        origin=exchange.origin,
        peer=exchange.peer,
        worker=exchange.worker,
        error=exchange.error,
        request_headers=_readable(exchange.request_headers),
        request_body=request_body,
        request_body_base64=request_base64,
        request_json=json_or_none(sent),
        request_body_truncated=_is_cut(carrier, carrier.request_body, carrier.request_body_bytes),
        response_status=exchange.response_status,
        upstream_status=exchange.upstream_status,
        response_headers=_readable(exchange.response_headers),
        response_body=response_body,
        response_body_base64=response_base64,
        response_json=reply_json(exchange, came),
        response_body_truncated=_is_cut(carrier, carrier.response_body, carrier.response_body_bytes),
        request_chunks=exchange.request_chunks,
        chunks=exchange.response_chunks,
        request_end_us=exchange.request_end_us,
        first_byte_us=exchange.first_byte_us,
        end_us=exchange.end_us,
        is_websocket=exchange.is_websocket,
        messages=_messages(carrier, exchange),
    )


def _is_cut(carrier: Exchange, kept: bytes, wire_bytes: int) -> bool:
    """The body of a turn is made of its messages, whatever they took on the wire."""
    return len(kept) < wire_bytes and not isinstance(carrier, SocketTurn)


def _messages(carrier: Exchange, call: Exchange) -> list[MessageView] | None:
    """Those of the time of one call, at most `MOST_MESSAGES`; all, where they tell no times.

    `None` where there are no frames: for other calls, and for a response archived without its connection.
    """
    if not carrier.is_websocket or isinstance(carrier, SocketTurn):
        return None
    begin = (call.started_ns - carrier.started_ns) // 1000
    end = None if call.end_us is None else begin + call.end_us
    found: list[MessageView] = []
    for sided in messages_of(carrier, []):
        message = sided.message
        at_us = message.at_us
        if at_us is not None and (at_us < begin or (end is not None and at_us > end)):
            continue
        found.append(_message(sided.is_client, message))
        if len(found) == MOST_MESSAGES:
            break
    return found


def _message(is_client: bool, message: Message) -> MessageView:
    text = message.data[:MOST_SHOWN].decode(errors="replace") if message.kind != "binary" else None
    if message.kind == "close" and len(message.data) >= 2:
        text = f"{int.from_bytes(message.data[:2])} {message.data[2:].decode(errors='replace')}".strip()
    return MessageView(
        at_us=message.at_us, is_client=is_client, kind=message.kind, text=text, bytes=len(message.data)
    )


def reply_json(exchange: Exchange, decoded: bytes) -> Any:
    """The reply's own JSON text where it is that, else the object that its stream adds up to, else `None`."""
    raw = json_or_none(decoded)
    return rebuild_reply(exchange) if raw is None else raw


def _readable(headers: Headers) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _text_or_base64(data: bytes) -> tuple[str | None, str | None]:
    if not data:
        return None, None
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(data).decode()

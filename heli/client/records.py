"""What the REST API answers with, where it is more than a record of `heli.schema`."""

from decimal import Decimal
from typing import Any

import msgspec

from heli.schema.request import Request


class RequestPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some requests, and where the next ones begin."""

    requests: list[Request]
    next_cursor: str | None = None


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message on a WebSocket."""

    at_us: int | None = None
    """After the connection was asked for."""
    is_client: bool
    kind: str
    """`text`, `binary`, `close`, `ping` or `pong`."""
    text: str | None = None
    bytes: int = 0


class ExchangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it crossed the wire, with transfer and content encodings undone. Secrets are masked."""

    request: Request
    method: str
    path: str
    origin: str = ""
    peer: str = ""
    worker: str = ""
    error: str | None = None
    """Why it did not end well, for people."""
    request_headers: list[tuple[str, str]] = []
    request_body: str | None = None
    """The text; `None` when there is none, or it is not text."""
    request_body_base64: str | None = None
    """The body when it is not text."""
    request_json: Any = None
    request_body_truncated: bool = False
    """More crossed the wire than was kept."""
    response_status: int | None = None
    upstream_status: int | None = None
    response_headers: list[tuple[str, str]] = []
    response_body: str | None = None
    response_body_base64: str | None = None
    response_json: Any = None
    """The whole reply as the provider's plain JSON object, also when it was streamed."""
    response_body_truncated: bool = False
    request_chunks: list[tuple[int, int]] = []
    chunks: list[tuple[int, int]] = []
    """`(microseconds after the start, bytes)` of each piece of the reply."""
    request_end_us: int | None = None
    first_byte_us: int | None = None
    end_us: int | None = None
    is_websocket: bool = False
    messages: list[MessageView] | None = None
    """What crossed a WebSocket while the request lasted; `None` for other calls."""


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """What some requests came to together. The counts of tokens do not overlap; `None` when nobody told."""

    requests: int = 0
    cost_usd: Decimal | None = None
    """The sum of what is known; `None` when nothing is."""
    unknown_cost_requests: int = 0
    """Requests whose cost is unknown, and so not in the sum."""
    estimated_cost_requests: int = 0
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


class CostRow(msgspec.Struct, frozen=True, kw_only=True):
    """One group: `keys` says of what, `{"model": "gpt-4o", "day": "2026-11-23"}`."""

    keys: dict[str, str]
    spend: Spend
    session_name: str = ""
    """Of the session, where that is one of the keys and has a name."""


class CostReport(msgspec.Struct, frozen=True, kw_only=True):
    """Spend by groups, and all of it together."""

    by: list[str]
    rows: list[CostRow]
    total: Spend

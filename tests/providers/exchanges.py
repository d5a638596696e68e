"""Exchanges for the tests of provider knowledge: a builder with defaults, and the recordings as exchanges."""

import base64
import datetime
import itertools
import json
from pathlib import Path
from typing import Any

from heli.schema.exchange import Exchange, Listener, Outcome, Reach
from tests.providers.event_frames import event_stream

RECORDINGS = Path(__file__).parent.parent / "recordings"
NOON = datetime.datetime(2026, 11, 2, 12, tzinfo=datetime.UTC)

_ids = itertools.count(1)


def an_exchange(
    request: Any = None,
    response: Any = None,
    *,
    origin: str = "https://api.openai.com",
    path: str = "/v1/chat/completions",
    method: str = "POST",
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
    request_headers: dict[str, str] | None = None,
    status: int | None = 200,
    outcome: Outcome = Outcome.COMPLETE,
    when: datetime.datetime = NOON,
    chunks: list[tuple[int, int]] | None = None,
    **fields: Any,
) -> Exchange:
    """`request` and `response` are bytes as on the wire, or values that are sent as JSON."""
    request_body = as_bytes(request)
    response_body = as_bytes(response)
    reply_headers = {"Date": "Mon, 02 Nov 2026 12:00:00 GMT", "Content-Type": content_type, **(headers or {})}
    return Exchange(
        id=next(_ids).to_bytes(16, "big"),
        started_ns=int(when.timestamp()) * 1_000_000_000,
        listener=fields.pop("listener", Listener.GATEWAY),
        outcome=outcome,
        origin=origin,
        method=method,
        path=path,
        request_headers=_lines({"Content-Type": "application/json", **(request_headers or {})}),
        request_body=request_body,
        request_body_bytes=fields.pop("request_body_bytes", len(request_body)),
        response_status=status,
        response_headers=_lines(reply_headers) if status is not None else [],
        response_body=response_body,
        response_body_bytes=fields.pop("response_body_bytes", len(response_body)),
        response_chunks=[(1_000, len(response_body))] if chunks is None else chunks,
        end_us=2_000,
        **fields,
    )


def as_bytes(body: Any) -> bytes:
    if body is None or isinstance(body, bytes):
        return body or b""
    return json.dumps(body).encode()


def _lines(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def sse(*events: Any, done: bool = False) -> bytes:
    """Server-sent events of JSON values; named by their `type`, as Anthropic and the Responses API do."""
    blocks = []
    for event in events:
        name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        blocks.append(f"{name}data: {json.dumps(event)}\n\n".encode())
    return b"".join(blocks) + (b"data: [DONE]\n\n" if done else b"")


def recorded() -> list[Path]:
    """All recordings: what was asked and answered, and what heli has to make of it."""
    return sorted(RECORDINGS.glob("*/*.json"))


def read_recording(file: Path) -> tuple[Exchange, dict[str, Any]]:
    """The exchange and what is expected of it. A body is JSON (`request`, `response`) or lines of text."""
    content = json.loads(file.read_text())
    response = _body(content, "response")
    exchange = an_exchange(
        _body(content, "request"),
        response,
        origin=content["origin"],
        path=content["path"],
        method=content.get("method", "POST"),
        headers=content.get("response_headers"),
        request_headers=content.get("request_headers"),
        status=content.get("status", 200),
        outcome=Outcome(content.get("outcome", "complete")),
        when=datetime.datetime.fromisoformat(content["when"]),
        chunks=[tuple(chunk) for chunk in content["chunks"]] if "chunks" in content else None,
        error=content.get("error"),
        reach=Reach[content["reach"].upper()] if "reach" in content else None,
    )
    return exchange, content["expect"]


def _body(content: dict[str, Any], side: str) -> bytes:
    if (frames := content.get(f"{side}_frames")) is not None:
        body = event_stream(frames)
        damaged = content.get("damaged_byte")
        if damaged is not None:
            body = body[:damaged] + bytes([body[damaged] ^ 1]) + body[damaged + 1 :]
        return body[: content.get("cut_at")]
    if (form := content.get(f"{side}_form")) is not None:
        return "\r\n".join(form).encode()
    if (base64_body := content.get(f"{side}_base64")) is not None:
        return base64.b64decode(base64_body)
    lines = content.get(f"{side}_lines")
    return "\n".join(lines).encode() if lines is not None else as_bytes(content.get(side))

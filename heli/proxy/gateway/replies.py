"""heli's own replies on the data ports, in the shapes that Helicone's callers know."""

import json
from http import HTTPStatus

from heli.proxy.gateway.identity import id_text


def error_reply(status: HTTPStatus, reason: str, call_id: bytes) -> tuple[bytes, bytes]:
    """Head and body of a reply that tells the caller why there is none from the provider.

    The fields are Helicone's; `error` is an object, where OpenAI's and Anthropic's SDKs look for words.
    """
    hint = f"see `heli show {id_text(call_id).decode()}`" if call_id else "see heli's log"
    body = json.dumps(
        {
            "error": {"message": f"heli: {reason}", "type": "heli_error", "code": _code(status)},
            "message": reason,
            "helicone-message": f"heli: {reason}",
            "support": hint,
        }
    ).encode()
    return _head(status, b"application/json", len(body), call_id, is_error=True), body


def _code(status: HTTPStatus) -> str:
    """A status as programs compare it: `bad_gateway`."""
    return status.phrase.lower().replace(" ", "_").replace("-", "_")


def plain_reply(status: HTTPStatus, body: bytes, content_type: bytes, is_last: bool) -> bytes:
    """A whole reply of one of the gateway's own routes."""
    return _head(status, content_type, len(body), b"", is_last=is_last) + body


def _head(
    status: HTTPStatus,
    content_type: bytes,
    length: int,
    call_id: bytes,
    *,
    is_error: bool = False,
    is_last: bool = True,
) -> bytes:
    lines = [
        b"HTTP/1.1 %d %s" % (status.value, status.phrase.encode("ascii")),
        b"Content-Type: " + content_type,
        b"Content-Length: %d" % length,
    ]
    if is_error:
        lines.append(b"helicone-error: true")
    if call_id:
        lines.append(b"Helicone-Id: " + id_text(call_id))
        lines.append(b"Helicone-Status: failed" if is_error else b"Helicone-Status: success")
    if is_last:
        lines.append(b"Connection: close")
    return b"\r\n".join([*lines, b"", b""])

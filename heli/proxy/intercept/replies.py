"""heli's own replies on the interceptor's port."""

from http import HTTPStatus


def reply(status: HTTPStatus, body: str | bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    """A whole reply, after which the connection ends."""
    content = body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(content)}",
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1") + content

"""What every call must pass before anything reads it: the right host, a body of bearable size.

Without accounts, being on this machine is the only proof of identity, so that a web page must not be able to
speak to heli through the user's browser: neither by a name that was re-bound to 127.0.0.1 (checked by `Host`)
nor from a foreign page (checked by `Origin`).
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heli.backend.api.error_answers import error_answer
from heli.backend.ingest.decoding import TooLargeError
from heli.schema.errors import DeniedError

MAX_BODY_BYTES = 10 * 1024 * 1024
"""Of an API call; Helicone's limit."""


class ForeignError(DeniedError):
    """A call that a web page of somebody else may have made."""

    code = "foreign_origin"
    status = 403


class Guard:
    """ASGI middleware. `limits` is `{path: body bytes}`; other paths have `max_body_bytes`."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, limits: dict[str, int]) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            check_origin(headers)
            limit = self._limits.get(scope["path"], self._max_body_bytes)
            check_length(headers, limit)
        except (ForeignError, TooLargeError) as error:
            await error_answer(error)(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit), send)


def check_origin(headers: Headers) -> None:
    """Raises `ForeignError` unless `Host`, and `Origin` if there is one, name this machine."""
    host = headers.get("host", "")
    if not _is_loopback(f"//{host}"):
        raise ForeignError(
            f"Host {host!r} is not this machine", "call heli as http://127.0.0.1 or http://localhost"
        )
    for origin in headers.getlist("origin"):
        if not _is_loopback(origin):
            raise ForeignError(f"Origin {origin!r} may not call heli", "only pages of this machine may")


def check_length(headers: Headers, limit: int) -> None:
    """Raises `TooLargeError` when the announced length is beyond `limit`."""
    announced = headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise TooLargeError(f"the body has {announced} bytes, the limit is {limit:,}", "send less at once")


def _is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        name = parts.hostname or ""
        has_more = bool(parts.path or parts.query or parts.fragment or "@" in parts.netloc or parts.port == 0)
    except ValueError:
        return False
    if has_more:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _counted(receive: Receive, limit: int) -> Receive:
    """The same body, but an error once it has outgrown `limit`, whatever length was announced."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise TooLargeError(f"the body is longer than {limit:,} bytes", "send less at once")
        return message

    return counted

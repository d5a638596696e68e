"""What the headers of a reply tell of the call: the provider's id for it and how much of a limit is left."""

import msgspec

from heli.schema.exchange import Headers

_REQUEST_IDS = (
    b"x-request-id",
    b"request-id",
    b"x-amzn-requestid",
    b"apim-request-id",
    b"x-goog-request-id",
    b"x-generation-id",
    b"x-cloud-trace-context",
    b"cf-ray",
)
"""The surest first."""

_RATE_LIMITS = (b"x-ratelimit-", b"anthropic-ratelimit-", b"ratelimit", b"retry-after", b"x-codex-")
_INITIALS = frozenset(b"xrracXRRAC")


class ReplyHeaders(msgspec.Struct, frozen=True, gc=False):
    """The headers that are kept as columns."""

    request_id: str
    rate_limits: dict[str, str]
    content_type: bytes
    service_tier: str


def read_headers(headers: Headers) -> ReplyHeaders:
    rate_limits: dict[str, str] = {}
    kept: dict[bytes, bytes] = {}
    for name, value in headers:
        if not name or name[0] not in _INITIALS:
            continue
        lowered = name.lower()
        if lowered.startswith(_RATE_LIMITS):
            rate_limits[lowered.decode("latin-1")] = value.decode("latin-1")
        else:
            kept[lowered] = value
    request_id = next((kept[name] for name in _REQUEST_IDS if kept.get(name)), b"")
    return ReplyHeaders(
        request_id.decode("latin-1"),
        rate_limits,
        kept.get(b"content-type", b""),
        kept.get(b"x-gemini-service-tier", b"").decode("latin-1").lower(),
    )

"""What the headers of a reply tell of the call: the provider's id for it and how much of a limit is left."""

from functools import lru_cache

import msgspec

from heli.providers.formats.bedrock_usage import COUNT_HEADERS, metrics_of_headers
from heli.providers.json_values import Json
from heli.schema.exchange import Headers

_REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "x-goog-request-id",
    "x-generation-id",
    "x-cloud-trace-context",
    "cf-ray",
)
"""The surest first."""

_RATE_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit", "retry-after", "x-codex-")
_ENCODINGS = ("content-encoding", "transfer-encoding")
_KEPT = frozenset({*_REQUEST_IDS, *_ENCODINGS, "content-type", "x-gemini-service-tier", *COUNT_HEADERS})


class ReplyHeaders(msgspec.Struct, frozen=True, gc=False):
    """The headers that are kept as columns."""

    request_id: str
    rate_limits: dict[str, str]
    content_type: bytes
    service_tier: str
    encodings: Headers
    """The lines that say how the body is encoded."""
    token_counts: dict[str, Json] = {}
    """What Bedrock counts, under the names that its streams use."""


@lru_cache(maxsize=4096)
def _known(name: bytes) -> str:
    """The name in lower case where the header means something here, else nothing."""
    lowered = name.decode("latin-1").lower()
    return lowered if lowered in _KEPT or lowered.startswith(_RATE_LIMITS) else ""


def _token_counts(kept: dict[str, bytes]) -> dict[str, Json]:
    counts = {name: value.decode("latin-1") for name, value in kept.items() if name in COUNT_HEADERS}
    return metrics_of_headers(counts) if counts else {}


def read_headers(headers: Headers) -> ReplyHeaders:
    rate_limits: dict[str, str] = {}
    kept: dict[str, bytes] = {}
    encodings: Headers = []
    for name, value in headers:
        if known := _known(name):
            if known not in _KEPT:
                rate_limits[known] = value.decode("latin-1")
            elif known in _ENCODINGS:
                encodings.append((name, value))
            else:
                kept[known] = value
    request_id = next((kept[name] for name in _REQUEST_IDS if kept.get(name)), b"")
    return ReplyHeaders(
        request_id.decode("latin-1"),
        rate_limits,
        kept.get("content-type", b""),
        kept.get("x-gemini-service-tier", b"").decode("latin-1").lower(),
        encodings,
        _token_counts(kept),
    )

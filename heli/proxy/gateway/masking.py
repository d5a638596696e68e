"""What must not be recorded: secrets in headers and URLs are masked before anything else sees them."""

import re
from urllib.parse import unquote_to_bytes

from heli.schema.exchange import MASKED

_NOT_SECRET = frozenset(
    {
        b"sec-websocket-key",
        b"sec-websocket-accept",
        b"idempotency-key",
        b"x-idempotency-key",
        b"helicone-token-limit-exception-handler",
    }
)
_ALWAYS_SECRET = frozenset({b"helicone-fallbacks", b"helicone-auth", b"sec-websocket-protocol"})
_SECRET_NAME = re.compile(
    rb"(?:^|[-_.\[])(?:auth|bearer|keys?|token|jwt|sig|sas|pwd|passwd|credentials?|assertion)(?:[-_.\]]|$)"
    rb"|authorization|api-?_?key|(?:access|auth|refresh|session|id)-?_?token|secret|password|passphrase"
    rb"|cookie|signature"
)
_SECRET_QUERY_NAME = re.compile(
    rb"(?:key|token|secret|password|passwd|pwd|signature|credential|jwt|assertion)\]?$|^(?:sig|sas|code|auth|session)$"
)
_QUERY_PART = re.compile(rb"(?<=[?&;])([^=&;#\s]+)=([^&;#\s]+)")
_USER_INFO = re.compile(rb"(?<=//)[^/?#\s]*@")
_CREDENTIALS = re.compile(rb"(?i)\s*(?:bearer|basic)\s")


def is_secret_name(lower: bytes) -> bool:
    """Whether a header of this name, in lower case, holds a secret."""
    if lower in _ALWAYS_SECRET:
        return True
    if lower in _NOT_SECRET or lower.startswith((b"helicone-property-", b"helicone-cache-")):
        return False
    return _SECRET_NAME.search(lower) is not None


def mask_value(*, is_secret: bool, value: bytes) -> bytes:
    """What may be recorded of a header's value."""
    if is_secret or _CREDENTIALS.match(value):
        return MASKED
    if b"?" in value or b"://" in value:
        return mask_url(value)
    return value


def mask_url(url: bytes) -> bytes:
    """A URL, or its path, without keys in the query and without user-info."""
    if b"=" in url:
        url = _QUERY_PART.sub(_mask_query_part, url)
    if b"@" in url:
        url = _USER_INFO.sub(MASKED + b"@", url)
    return url


def _mask_query_part(part: re.Match[bytes]) -> bytes:
    name = unquote_to_bytes(part[1]).lower()
    return part[1] + b"=" + MASKED if _SECRET_QUERY_NAME.search(name) else part[0]

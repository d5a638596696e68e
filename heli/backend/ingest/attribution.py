"""What a caller said about a call by `Helicone-*` headers: whose it is, which session, which properties.

The names and their meaning are Helicone's. Custom properties are lower-cased, as header names are; the
ones that are made from other headers keep their capitals.
"""

import msgspec

from heli.schema.exchange import Headers
from heli.schema.property_names import POSTHOG, SYNTHESISED

PROPERTY_PREFIX = b"helicone-property-"
MAX_VALUE_CHARS = 8192
"""A header's value that becomes a property is cut here."""

POSTHOG_KEY = b"helicone-posthog-key"


class Attribution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The caller's words about one call; empty where they said nothing."""

    user_id: str = ""
    session_id: str = ""
    session_name: str = ""
    session_path: str = ""
    """With a leading slash; `/` when a session was named without a path."""
    properties: dict[str, str] = {}
    prompt_id: str = ""
    prompt_version: str = ""
    model_override: str = ""
    cache_enabled: bool = False
    omit_request: bool = False
    omit_response: bool = False


NOBODY = Attribution()


def read_attribution(headers: Headers) -> Attribution:
    """Read a request's headers. Where a header comes twice, the last one counts."""
    told: dict[bytes, str] = {}
    properties: dict[str, str] = {}
    for name, value in headers:
        lowered = name.lower()
        if not lowered.startswith(b"helicone-"):
            if lowered == b"x-stripe-customer-id":
                told[lowered] = _text(value)
        elif lowered.startswith(PROPERTY_PREFIX):
            if key := _text(lowered[len(PROPERTY_PREFIX) :]):
                properties[key] = _text(value)
        else:
            told[lowered] = _text(value)
    if not told and not properties:
        return NOBODY
    for header, name_ in SYNTHESISED.items():
        if told.get(header):
            properties[name_] = told[header]
    if told.get(POSTHOG_KEY):
        properties[POSTHOG] = "true"
    session_id = told.get(b"helicone-session-id", "")
    return Attribution(
        user_id=told.get(b"helicone-user-id", ""),
        session_id=session_id,
        session_name=told.get(b"helicone-session-name", "") if session_id else "",
        session_path=_session_path(told.get(b"helicone-session-path", "")) if session_id else "",
        properties=properties,
        prompt_id=told.get(b"helicone-prompt-id", ""),
        prompt_version=told.get(b"helicone-prompt-version", ""),
        model_override=told.get(b"helicone-model-override", ""),
        cache_enabled=told.get(b"helicone-cache-enabled", "").lower() == "true",
        omit_request=told.get(b"helicone-omit-request") == "true",
        omit_response=told.get(b"helicone-omit-response") == "true",
    )


def _session_path(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _text(value: bytes) -> str:
    """UTF-8 where it is, else Latin-1 as HTTP has it; no NUL, which would cut a string in other tools."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return text.strip()[:MAX_VALUE_CHARS].replace("\0", "\ufffd")

"""Names of properties, as they are stored and as they are asked for."""

import string

AGENT_SESSION = "Agent-Session-Id"
"""The property that keeps the agent's own session where the caller named another."""
POSTHOG = "Helicone-Sent-To-Posthog"

SYNTHESISED = {
    b"helicone-session-id": "Helicone-Session-Id",
    b"helicone-session-name": "Helicone-Session-Name",
    b"helicone-session-path": "Helicone-Session-Path",
    b"helicone-prompt-id": "Helicone-Prompt-Id",
    b"helicone-experiment-id": "Helicone-Experiment-Id",
    b"helicone-cache-enabled": "Helicone-Cache-Enabled",
    b"helicone-cache-seed": "Helicone-Cache-Seed",
    b"helicone-cache-bucket-max-size": "Helicone-Cache-Bucket-Max-Size",
    b"helicone-cache-control": "Helicone-Cache-Control",
    b"x-stripe-customer-id": "stripe_customer_id",
}
"""`{header: property}` of the properties that other headers leave behind."""

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_WITH_CAPITALS = {name.lower(): name for name in (AGENT_SESSION, POSTHOG, *SYNTHESISED.values())}


def stored_name(asked: str) -> str:
    """The name under which a property is stored, however it was written: in lower case, as headers have no
    case, but for the few that heli makes itself. Of a header's letters only A to Z are lowered.
    """
    lowered = asked.translate(_ASCII_LOWER)
    return _WITH_CAPITALS.get(lowered, lowered)

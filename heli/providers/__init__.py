"""All that heli knows of each provider: hosts, wire formats, usage and prices.

The names below are loaded when they are first asked for: the gateway needs the hosts only, and price
tables are large.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heli.providers.encoding import decode_body
    from heli.providers.interpretation import Interpretation, interpret, read_conversation, rebuild_reply
    from heli.providers.peeking import Peek, peek
    from heli.providers.pricing.price_book import PriceBook
    from heli.providers.sockets.calls import calls_of, find_call

__all__ = [
    "Interpretation",
    "Peek",
    "PriceBook",
    "calls_of",
    "decode_body",
    "find_call",
    "interpret",
    "peek",
    "read_conversation",
    "rebuild_reply",
]

_HOMES = {
    "Interpretation": "interpretation",
    "Peek": "peeking",
    "PriceBook": "pricing.price_book",
    "calls_of": "sockets.calls",
    "decode_body": "encoding",
    "find_call": "sockets.calls",
    "interpret": "interpretation",
    "peek": "peeking",
    "read_conversation": "interpretation",
    "rebuild_reply": "interpretation",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)

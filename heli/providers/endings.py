"""Calls whose caller hung up, but had heard everything."""

import msgspec

from heli.providers.framing import Stream
from heli.providers.json_values import as_dict, as_text
from heli.schema.exchange import Exchange, Outcome

_LAST_EVENTS = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})
"""Of Anthropic's messages and OpenAI's responses. Others end with `[DONE]`, `"done": true` or a bracket."""


def as_heard(exchange: Exchange, stream: Stream | None) -> Exchange:
    """The exchange, complete where its caller left behind a stream's last word.

    SDKs hang up as soon as they have read it. What comes after is the end of the transfer, which they do not
    always wait for.
    """
    has_left = exchange.outcome is Outcome.CLIENT_ABORTED
    if has_left and stream is not None and _has_said_all(stream):
        return msgspec.structs.replace(exchange, outcome=Outcome.COMPLETE, error=None)
    return exchange


def _has_said_all(stream: Stream) -> bool:
    if stream.is_done or not stream.events:
        return stream.is_done
    last = as_dict(stream.events[-1].data)
    return as_text(last.get("type")) in _LAST_EVENTS or last.get("done") is True

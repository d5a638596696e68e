"""A cheap look at a call in flight, for the live feed."""

import msgspec

from heli.providers.previews import one_line, request_preview, response_text
from heli.providers.reading import read_exchange
from heli.providers.recognition import recognise
from heli.providers.sockets.calls import calls_of
from heli.providers.sockets.turn import SocketTurn
from heli.providers.token_estimate import estimate_output
from heli.schema.exchange import Exchange

SWITCHING_PROTOCOLS = 101
_PREVIEW_TAIL = 300
_LARGEST = 512 * 1024
"""Bodies beyond this are not looked into while the call runs."""


class Peek(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a call that has not ended."""

    provider: str
    model: str = ""
    text: str = ""
    """The newest words of the reply, at most 300 characters on a line; the question while there is none."""
    output_tokens_estimate: int | None = None


def peek(exchange: Exchange) -> Peek:
    """Looks at the bytes so far. Never raises; large bodies are left for the end of the call."""
    recognised = recognise(exchange)
    if len(exchange.request_body) > _LARGEST:
        exchange = msgspec.structs.replace(exchange, request_body=b"")
    if len(exchange.response_body) > _LARGEST:
        return Peek(provider=recognised.provider, model=recognised.path_model)
    try:
        if exchange.is_websocket or exchange.response_status == SWITCHING_PROTOCOLS:
            return _peek_socket(exchange, recognised.provider, recognised.path_model)
        return _peek(exchange)
    except Exception:  # noqa: BLE001 - the feed is best effort, the log will tell
        return Peek(provider=recognised.provider, model=recognised.path_model)


def _peek_socket(exchange: Exchange, provider: str, path_model: str) -> Peek:
    """The response that began last, as far as it has come."""
    exchange = msgspec.structs.replace(exchange, is_websocket=True, end_us=None)
    call = calls_of(exchange)[-1]
    if not isinstance(call, SocketTurn) or call.protocol in ("unanswered", "unread"):
        return Peek(provider=provider, model=path_model)
    return _peek(call)


def _peek(exchange: Exchange) -> Peek:
    reading = read_exchange(exchange)
    asked = reading.format.read_request(reading.request, exchange.path)
    answer = reading.format.read_answer(reading.reply, reading.provider)
    conversation = reading.format.read_conversation(reading.request, reading.reply)
    text = response_text(conversation)
    visible, thinking = estimate_output(conversation.reply)
    known = answer.usage.total_output_tokens if answer.is_complete else None
    return Peek(
        provider=reading.provider,
        model=answer.model or asked.model or reading.path_model,
        text=one_line(text[-_PREVIEW_TAIL:]) if text else request_preview(conversation),
        output_tokens_estimate=known if known is not None else (visible + thinking) or None,
    )

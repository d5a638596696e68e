"""A captured exchange with its bodies decoded: where interpretation, `heli show` and the live feed start."""

import msgspec

from heli.providers.encoding import decode
from heli.providers.formats.batches import looks_like_results
from heli.providers.formats.bedrock_invoke import choose_invoked
from heli.providers.formats.format import Format
from heli.providers.framing import Stream
from heli.providers.json_values import Json, Unreadable, decode_json
from heli.providers.multipart import read_form
from heli.providers.recognition import (
    BATCH_RESULTS,
    BEDROCK_INVOKE,
    FREE_OTHER,
    OTHER,
    recognise,
    recognise_body,
)
from heli.providers.reply_headers import ReplyHeaders, read_headers
from heli.providers.sockets.turn import SocketTurn
from heli.schema.exchange import Exchange


class Reading(msgspec.Struct, gc=False):
    """What could be read of an exchange."""

    provider: str
    format: Format
    path_model: str
    request_body: bytes
    """Without its encodings; so the other one."""
    response_body: bytes
    request: Json
    """`None` when there is none or it is not JSON."""
    reply: Json
    """The whole reply as the provider would have sent it without streaming; `None` when there is none."""
    stream: Stream | None
    """The events of a streamed reply."""
    headers: ReplyHeaders
    troubles: list[str]
    """What could not be read, and why."""


def read_exchange(exchange: Exchange) -> Reading:
    """Decodes both bodies and puts a stream together again."""
    recognised = recognise(exchange)
    headers = read_headers(exchange.response_headers)
    reading = Reading(
        provider=recognised.provider,
        format=recognised.format,
        path_model=recognised.path_model,
        request_body=b"",
        response_body=b"",
        request=None,
        reply=None,
        stream=None,
        headers=headers,
        troubles=[],
    )
    if isinstance(exchange, SocketTurn) and exchange.trouble:
        reading.troubles.append(exchange.trouble)
    if exchange.is_websocket and reading.format.operation == "other":
        return reading
    if exchange.bodies_dropped:
        reading.troubles.append("the bodies were dropped, as the spool was nearly full")
        return reading
    _read_request(exchange, reading)
    if reading.format is BEDROCK_INVOKE:
        reading.format = choose_invoked(reading.path_model, reading.request)
    _read_reply(exchange, reading)
    return reading


def _read_request(exchange: Exchange, reading: Reading) -> None:
    decoded = decode(exchange.request_headers, exchange.request_body)
    reading.request_body = decoded.data
    if (form := _read_form(exchange, decoded.data)) is not None:
        reading.request = form
        return
    value = decode_json(decoded.data) if decoded.data else None
    if not isinstance(value, Unreadable):
        reading.request = value
    elif reading.format is not OTHER:
        cut = " (it was cut)" if exchange.request_body_bytes > len(exchange.request_body) else ""
        reading.troubles.append(f"request {decoded.trouble or value.reason}{cut}")


def _read_form(exchange: Exchange, body: bytes) -> Json:
    if not body.startswith(b"--"):
        return None
    for name, value in exchange.request_headers:
        if len(name) == 12 and name.lower() == b"content-type":
            return read_form(body, value)
    return None


_TEXT_OR_SOUND = frozenset({"transcription", "speech"})
"""Operations whose reply is often no JSON."""


def _read_reply(exchange: Exchange, reading: Reading) -> None:
    decoded = decode(reading.headers.encodings, exchange.response_body)
    body = reading.response_body = decoded.data
    if decoded.trouble:
        reading.troubles.append(f"reply {decoded.trouble}")
    if not body:
        return
    if reading.format is OTHER:
        reading.format = recognise_body(reading.request, body)
    if reading.format is BATCH_RESULTS and not looks_like_results(body):
        reading.format = FREE_OTHER
    stream = reading.format.read_events(body, reading.headers.content_type)
    if stream is not None:
        reading.stream = stream
        reading.reply = reading.format.assemble(stream.events)
        if stream.trouble and exchange.end_us is not None:
            reading.troubles.append(f"reply: {stream.trouble}")
        return
    if reading.format.operation in _TEXT_OR_SOUND and b"json" not in reading.headers.content_type:
        is_text = reading.headers.content_type.startswith(b"text/")
        reading.reply = body.decode("utf-8", "replace") if is_text else None
        return
    value = decode_json(body)
    if not isinstance(value, Unreadable):
        reading.reply = value
    elif b"json" in reading.headers.content_type or reading.format.operation != "other":
        cut = " (it was cut)" if exchange.response_body_bytes > len(exchange.response_body) else ""
        reading.troubles.append(f"reply is {value.reason}{cut}")

"""A turn: one response that a WebSocket carried, as the exchange that it would have been over HTTP."""

import hashlib
import uuid

import msgspec

from heli.schema.exchange import Exchange


class SocketTurn(Exchange, array_like=True, frozen=True, kw_only=True, gc=False):
    """Its request body is the JSON that was asked, its reply the server's events as server-sent events.

    It is made anew from the archived connection whenever it is wanted; only one that was stored while its
    connection went on is archived by itself.
    """

    protocol: str = ""
    """`responses`, `realtime` or `warm_up`; `unanswered` for a connection on which nothing was asked, and
    `unread` for one that could not be understood. The last two stand for the whole connection."""
    trouble: str = ""
    """What could not be read of the connection; told with its last turn."""
    audio_bytes: int = 0
    """Audio that the reply brought, which its body does not hold."""
    connection: str = ""
    """The id of the WebSocket that carried it, in hex."""
    has_ended: bool = True
    """The response came to its own end, before its connection did."""


_decode = msgspec.msgpack.Decoder(list[SocketTurn]).decode


def decode_archived(data: bytes) -> Exchange:
    """The exchange, or the turn, of an item of the archive."""
    (item,) = _decode(data)
    return item if item.protocol else as_plain(item)


def as_plain(turn: Exchange) -> Exchange:
    return Exchange(**{name: getattr(turn, name) for name in Exchange.__struct_fields__})


def turn_id(connection: bytes, number: int) -> bytes:
    """The id of a turn. The first has the connection's own, which is the one that the caller was told."""
    if number == 0:
        return connection
    digest = hashlib.blake2b(connection + number.to_bytes(4), digest_size=16, person=b"heli socket turn")
    return uuid.UUID(bytes=digest.digest(), version=4).bytes

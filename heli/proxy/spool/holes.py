"""Calls in flight of which a piece was dropped: what is still told of them, so that no body gets a hole."""

import msgspec

from heli.schema.exchange import Closed, decode_record, encode_record

TOMBSTONE = b"\xc1"
"""The first byte of a payload that is no record but `TOMBSTONE + id`: the end of this call was dropped.

msgpack never uses this byte."""
_OPENED, _GROWN, _CLOSED = 1, 2, 3


class _Head(msgspec.Struct, array_like=True):
    id: bytes


class _ByExchange(msgspec.Struct, array_like=True, tag=_OPENED):
    exchange: _Head


class _ById(msgspec.Struct, array_like=True, tag=_GROWN):
    id: bytes


class _End(msgspec.Struct, array_like=True, tag=_CLOSED):
    exchange: _Head


_decode = msgspec.msgpack.Decoder(_ByExchange | _ById | _End).decode


class Holes:
    """The calls in flight of which a piece was dropped; empty, and then false, nearly always."""

    def __init__(self) -> None:
        self._broken: set[bytes] = set()

    def __bool__(self) -> bool:
        return bool(self._broken)

    def mend(self, record: bytes) -> bytes:
        """The record as it may be kept: of a broken call only the end, and that without bodies."""
        glance = _glance(record)
        if glance is None or _id_of(glance) not in self._broken:
            return record
        if not isinstance(glance, _End):
            return b""
        self._broken.discard(glance.exchange.id)
        return _without_bodies(record)

    def note(self, record: bytes) -> bytes | None:
        """A record was dropped. The tombstone that is to be written in the place of the end of a call."""
        glance = _glance(record)
        if glance is None:
            return None
        id = _id_of(glance)
        if isinstance(glance, _End):
            self._broken.discard(id)
            return TOMBSTONE + id
        self._broken.add(id)
        return None


def _id_of(glance: _ByExchange | _ById | _End) -> bytes:
    return glance.id if isinstance(glance, _ById) else glance.exchange.id


def _glance(record: bytes) -> _ByExchange | _ById | _End | None:
    """The beginning of a record of a call in flight; `None` for others."""
    try:
        glance: _ByExchange | _ById | _End = _decode(record)
    except msgspec.DecodeError:
        return None
    return glance


def _without_bodies(record: bytes) -> bytes:
    closed = decode_record(record)
    assert isinstance(closed, Closed)
    bare = msgspec.structs.replace(
        closed.exchange,
        request_body=b"",
        response_body=b"",
        request_chunks=[],
        response_chunks=[],
        bodies_dropped=True,
    )
    return encode_record(Closed(exchange=bare))

"""Calls in flight of which a piece was dropped: what is still told of them, so that no body gets a hole."""

import msgspec

from heli.schema.exchange import Closed, decode_record, encode_record

TOMBSTONE = b"\xc1"
"""The first byte of a payload that is no record but `TOMBSTONE + id`: the end of this call was dropped.

msgpack never uses this byte."""


class _Head(msgspec.Struct, array_like=True):
    id: bytes


class _Piece(msgspec.Struct, array_like=True, tag=2):
    id: bytes


class _End(msgspec.Struct, array_like=True, tag=3):
    exchange: _Head


_decode = msgspec.msgpack.Decoder(_Piece | _End).decode


class Holes:
    """The calls in flight of which a piece was dropped; empty, and then false, nearly always."""

    def __init__(self) -> None:
        self._broken: set[bytes] = set()

    def __bool__(self) -> bool:
        return bool(self._broken)

    def mend(self, record: bytes) -> bytes:
        """The record as it may be kept: of a broken call only the end, and that without bodies."""
        glance = _glance(record)
        if isinstance(glance, _Piece):
            return b"" if glance.id in self._broken else record
        if glance is None or glance.exchange.id not in self._broken:
            return record
        self._broken.discard(glance.exchange.id)
        return _without_bodies(record)

    def note(self, record: bytes) -> bytes | None:
        """A record was dropped. The tombstone that is to be written in the place of the end of a call.

        A call whose beginning was dropped is not in flight for the spool: it may be told from the start.
        """
        glance = _glance(record)
        if isinstance(glance, _Piece):
            self._broken.add(glance.id)
        if not isinstance(glance, _End):
            return None
        self._broken.discard(glance.exchange.id)
        return TOMBSTONE + glance.exchange.id


def _glance(record: bytes) -> _Piece | _End | None:
    """The beginning of a piece or the end of a call in flight; `None` for others."""
    try:
        glance: _Piece | _End = _decode(record)
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

"""Which exchanges of a batch are new, and what two calls are called that came by one id.

A caller may name a call by `Helicone-Request-Id`. A gateway worker takes such an id once, but workers do not
know of each other: when a caller uses it again, two of them may have taken it. Such calls differ in when they
began, by which they are told apart here; one gets another id, the same however often it is sent.
"""

import datetime
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from heli.backend.ingest.rows import started_at
from heli.schema.exchange import Exchange

type Known = Mapping[UUID, Iterable[datetime.datetime]]
"""`{id: when the calls of that id began}` of the request log."""

_ASKED = b"helicone-request-id"


def second_id(exchange: Exchange) -> UUID | None:
    """The id of the call if another has its first; `None` when that is the gateway's own, which is unique."""
    if not any(name.lower() == _ASKED for name, _ in exchange.request_headers):
        return None
    moment = (exchange.started_ns // 1000).to_bytes(8)
    return UUID(bytes=hashlib.blake2b(exchange.id + moment, digest_size=16).digest(), version=4)


def all_ids(exchanges: Iterable[Exchange]) -> list[UUID]:
    """Every id under which one of them may be in the log."""
    ids: list[UUID] = []
    for exchange in exchanges:
        ids.append(exchange.request_id)
        if second := second_id(exchange):
            ids.append(second)
    return ids


def choose_fresh(exchanges: Sequence[Exchange], known: Known) -> list[tuple[int, Exchange]]:
    """Those that are not in the log yet, each once, under the ids by which they are to be stored.

    Each comes with its place in `exchanges`.
    """
    taken = {id: set(moments) for id, moments in known.items()}
    fresh: list[tuple[int, Exchange]] = []
    for place, exchange in enumerate(exchanges):
        id, second, moment = exchange.request_id, second_id(exchange), started_at(exchange)
        if moment in taken.get(id, ()) or (second is not None and second in taken):
            continue
        if id in taken:
            if second is None:
                continue
            id, exchange = second, msgspec.structs.replace(exchange, id=second.bytes)
        taken.setdefault(id, set()).add(moment)
        fresh.append((place, exchange))
    return fresh

"""Ingest: a batch of exchanges becomes archived bodies and rows of the request log, each exchange once.

The order is what makes it safe to send a batch again: what is in the log already is left out before anything
is written, bodies are durable before the rows that name them, and the insert's token stands for exactly the
rows that go in. Everything here blocks; it runs in one thread.
"""

import hashlib
import logging
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from heli.backend.ingest.attribution import Attribution, read_attribution
from heli.backend.ingest.known_ids import all_ids, choose_fresh
from heli.backend.ingest.linking import link
from heli.backend.ingest.refusals import UNFIT, is_about_rows
from heli.backend.ingest.rows import build_row, check_offset, started_at, without_omitted
from heli.backend.stores.bodies import BodyStore
from heli.backend.stores.errors import StoreError
from heli.backend.stores.request_log import LogRow, RequestLog
from heli.providers import PriceBook, calls_of, interpret
from heli.providers.sockets.turn import SocketTurn
from heli.schema.errors import UnreachableError, UsageError
from heli.schema.exchange import Exchange, encode_exchanges
from heli.schema.request import LOCAL_ORGANISATION, Request

logger = logging.getLogger("heli.backend.ingest")


class Rejected(msgspec.Struct, frozen=True):
    """An exchange that no store will take, however often it is sent."""

    id: UUID
    reason: str


class IngestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch. Everything that is neither stored nor a duplicate is in `rejected`."""

    stored: int
    duplicates: int
    rejected: list[Rejected]


class Ingested(msgspec.Struct, frozen=True):
    """The answer, and the requests that are new in the log."""

    answer: IngestAnswer
    requests: list[Request]


class Call(NamedTuple):
    """A call, and the exchange that it is or, for a response on a WebSocket, that carried it."""

    exchange: Exchange
    call: Exchange
    sent: Exchange
    """What was sent of it, as the sender knows it: a call may get another id here."""


class Pipeline:
    """The stores and the prices that ingest needs."""

    def __init__(
        self, log: RequestLog, bodies: BodyStore, prices: PriceBook, organisation: UUID = LOCAL_ORGANISATION
    ) -> None:
        self._log = log
        self._bodies = bodies
        self._prices = prices
        self._organisation = organisation

    def take(self, exchanges: Sequence[Exchange], *, are_open: bool = False) -> Ingested:
        """Store what is new; of exchanges that go on (`are_open`), the responses that have ended.

        Raises `UnreachableError` when a store is down: then send all of it again.
        """
        rejected: list[Rejected] = []
        timely = [exchange for exchange in exchanges if _is_timely(exchange, rejected)]
        calls = [Call(exchange, call, exchange) for exchange in timely for call in calls_of(exchange)]
        if are_open:  # each is archived by itself: the connection will be, once, when it has ended
            turns = [(call.call, call.sent) for call in calls]
            calls = [Call(t, t, sent) for t, sent in turns if isinstance(t, SocketTurn) and t.has_ended]
        fresh = self._fresh(calls)
        rows = link(self._log, self._organisation, self._archive_and_read(fresh))
        stored = self._insert(rows, rejected)
        return Ingested(_answer(exchanges, fresh, stored, rejected), [row.request for row in stored])

    def _fresh(self, calls: list[Call]) -> list[Call]:
        """Those that are not in the log yet, each once. Of a WebSocket some may be there."""
        if not calls:
            return []
        times = [started_at(call.call) for call in calls]
        within = [call.call for call in calls]
        known = self._log.existing(all_ids(within), min(times), max(times))
        fresh = []
        for place, chosen in choose_fresh(within, known):
            call = calls[place]
            # A response that got another id would not be found in its WebSocket's archive.
            is_own = call.exchange is call.call or chosen.id != call.call.id
            fresh.append(Call(chosen if is_own else call.exchange, chosen, call.sent))
        return fresh

    def _archive_and_read(self, calls: list[Call]) -> list[LogRow]:
        """Make the bodies durable, each exchange once, and rows that name them."""
        if not calls:
            return []
        exchanges = list({_name(call.exchange): call.exchange for call in calls}.values())
        told = [read_attribution(exchange.request_headers) for exchange in exchanges]
        kept = [without_omitted(*pair) for pair in zip(exchanges, told, strict=True)]
        refs = self._bodies.put_many(
            [(exchange.request_id, encode_exchanges([exchange])) for exchange in kept]
        )
        archived = {
            _name(exchange): pair
            for exchange, pair in zip(exchanges, zip(told, refs, strict=True), strict=True)
        }
        return [self._row(call.call, *archived[_name(call.exchange)]) for call in calls]

    def _row(self, exchange: Exchange, told: Attribution, body_ref: str) -> LogRow:
        read = interpret(exchange, self._prices, model_override=told.model_override)
        return build_row(exchange, told, read, body_ref, self._organisation)

    def _insert(self, rows: list[LogRow], rejected: list[Rejected]) -> list[LogRow]:
        """Insert, halving what the store refuses until the poison stands alone; return what went in."""
        if not rows:
            return []
        try:
            self._log.insert(rows, batch_token(rows))
        except (StoreError, *UNFIT) as error:
            if not is_about_rows(error):
                raise UnreachableError(f"the request log takes nothing now: {error}") from error
            if len(rows) == 1:
                logger.warning("the request log rejects %s: %s", rows[0].request.id, error)
                rejected.append(Rejected(rows[0].request.id, str(error)))
                return []
            middle = len(rows) // 2
            return self._insert(rows[:middle], rejected) + self._insert(rows[middle:], rejected)
        return rows


def batch_token(rows: Sequence[LogRow]) -> str:
    """The same for the same requests, and for no others: a token that covered other rows would lose these."""
    names = sorted(row.request.id.bytes + row.request.created_at.isoformat().encode() for row in rows)
    return hashlib.blake2b(b"".join(names), digest_size=16).hexdigest()


def _answer(
    exchanges: Sequence[Exchange], fresh: list[Call], stored: list[LogRow], rejected: list[Rejected]
) -> IngestAnswer:
    """What became of the exchanges, as senders know nothing of the calls within one."""
    carriers = {call.call.request_id: call.sent for call in fresh}
    refused = {
        carriers[one.id].request_id if one.id in carriers else one.id: one.reason
        for one in reversed(rejected)
    }
    torn = {_name(carriers[one.id]) for one in rejected if one.id in carriers}
    new = {_name(carriers[row.request.id]) for row in stored} - torn
    return IngestAnswer(
        stored=len(new),
        duplicates=len(exchanges) - len(new) - len(refused),
        rejected=[Rejected(id, reason) for id, reason in reversed(refused.items())],
    )


def _name(exchange: Exchange) -> tuple[bytes, int]:
    """What tells exchanges apart: a caller may give two of them one id."""
    return exchange.id, exchange.started_ns


def _is_timely(exchange: Exchange, rejected: list[Rejected]) -> bool:
    try:
        started_at(exchange)
        for at_us, _ in exchange.request_chunks + exchange.response_chunks if exchange.is_websocket else ():
            check_offset(at_us)
    except UsageError as error:
        rejected.append(Rejected(exchange.request_id, error.message))
        return False
    return True

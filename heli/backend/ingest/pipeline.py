"""Ingest: a batch of exchanges becomes archived bodies and rows of the request log, each exchange once.

The order is what makes it safe to send a batch again: what is in the log already is left out before anything
is written, bodies are durable before the rows that name them, and the insert's token stands for exactly the
rows that go in. Everything here blocks; it runs in one thread.
"""

import hashlib
import logging
from collections.abc import Sequence
from uuid import UUID

import msgspec

from heli.backend.ingest.attribution import Attribution, read_attribution
from heli.backend.ingest.known_ids import all_ids, choose_fresh, second_id
from heli.backend.ingest.refusals import UNFIT, is_about_rows
from heli.backend.ingest.rows import build_row, started_at, without_omitted
from heli.backend.stores.bodies import BodyStore
from heli.backend.stores.errors import StoreError
from heli.backend.stores.request_log import LogRow, RequestLog
from heli.providers import PriceBook, interpret
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


class Pipeline:
    """The stores and the prices that ingest needs."""

    def __init__(
        self, log: RequestLog, bodies: BodyStore, prices: PriceBook, organisation: UUID = LOCAL_ORGANISATION
    ) -> None:
        self._log = log
        self._bodies = bodies
        self._prices = prices
        self._organisation = organisation

    def take(self, exchanges: Sequence[Exchange]) -> Ingested:
        """Store what is new. Raises `UnreachableError` when a store is down: then send all of it again."""
        rejected: list[Rejected] = []
        timely = [exchange for exchange in exchanges if _is_timely(exchange, rejected)]
        fresh = self._fresh(timely)
        stored = self._insert(self._archive_and_read(fresh), rejected)
        if rejected:
            sent_as = {second: exchange.request_id for exchange in timely if (second := second_id(exchange))}
            rejected = [Rejected(sent_as.get(each.id, each.id), each.reason) for each in rejected]
        answer = IngestAnswer(
            stored=len(stored), duplicates=len(exchanges) - len(stored) - len(rejected), rejected=rejected
        )
        return Ingested(answer, [row.request for row in stored])

    def _fresh(self, exchanges: list[Exchange]) -> list[Exchange]:
        """Those that are not in the log yet, each once."""
        if not exchanges:
            return []
        times = [started_at(exchange) for exchange in exchanges]
        return choose_fresh(exchanges, self._log.existing(all_ids(exchanges), min(times), max(times)))

    def _archive_and_read(self, exchanges: list[Exchange]) -> list[LogRow]:
        """Make the bodies durable, and rows that name them."""
        if not exchanges:
            return []
        told = [read_attribution(exchange.request_headers) for exchange in exchanges]
        kept = [without_omitted(*pair) for pair in zip(exchanges, told, strict=True)]
        refs = self._bodies.put_many(
            [(exchange.request_id, encode_exchanges([exchange])) for exchange in kept]
        )
        return [self._row(*triple) for triple in zip(exchanges, told, refs, strict=True)]

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


def _is_timely(exchange: Exchange, rejected: list[Rejected]) -> bool:
    try:
        started_at(exchange)
    except UsageError as error:
        rejected.append(Rejected(exchange.request_id, error.message))
        return False
    return True

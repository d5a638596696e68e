"""The request log priced again: page by page, oldest first, each row that changes inserted once more.

A row of a later version replaces the one before it in every count and sum, so that nothing is doubled while
this runs. Where it is broken off, what was written is right, and running it again goes on: rows that have
the cost already are left alone. Everything here blocks.
"""

import datetime
import hashlib
import time
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from heli.backend.ingest.attribution import read_attribution
from heli.backend.queries.exchange_view import load_exchange
from heli.backend.queries.money import add_exactly, plain
from heli.backend.queries.request_list import Key, after, count_requests, find_keys, rows_of
from heli.backend.queries.scope import Scope
from heli.backend.stores.bodies import BodyStore
from heli.backend.stores.errors import StoreError
from heli.backend.stores.log_columns import LOG_ROW_COLUMNS
from heli.backend.stores.log_reading import log_row_from_row
from heli.backend.stores.log_row import money
from heli.backend.stores.request_log import LogRow, RequestLog
from heli.providers import PriceBook, find_call
from heli.providers.repricing import price_again
from heli.schema.errors import NotFoundError
from heli.schema.exchange import Exchange
from heli.schema.repricing import RepricedModel, RepricedSum, RepriceProgress, RepriceReport
from heli.schema.request import Request
from heli.schema.usage import Cost, CostState

PAGE = 200
STEP_S = 0.5
"""A step that has worked this long writes what it has, so that progress is told and a stop is heeded."""
MILLISECOND = datetime.timedelta(milliseconds=1)
_COLUMNS = ", ".join(LOG_ROW_COLUMNS)
_SESSION = ("request_id", "session_id", "session_name", "session_path", "session_source")


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Repricing:
    """One run over the rows of a scope."""

    def __init__(
        self,
        log: RequestLog,
        bodies: BodyStore,
        prices: PriceBook,
        scope: Scope,
        *,
        writes: bool,
        clock: Callable[[], datetime.datetime] = now,
        between_batches: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        """`between_batches` does some work while ingest writes nothing."""
        self._log = log
        self._bodies = bodies
        self._prices = prices
        self._scope = scope.and_also("created_at < {begun:DateTime64(6, 'UTC')}", begun=clock())
        self._writes = writes
        self._clock = clock
        self._between_batches = between_batches
        self._waiting: deque[dict[str, Any]] = deque()
        self._last: Key | None = None
        self._sums: dict[str, _Sum] = {}
        self._requests = -1
        self._seen = self._changed = self._written = 0

    def step(self) -> RepriceProgress | None:
        """Do some of it; `None` when all is done. Raises `UnreachableError` or `StoreError`."""
        if self._requests < 0:
            self._requests = count_requests(self._log, self._scope)
            return self._progress()
        if not self._waiting and not self._load():
            return None
        ends = time.monotonic() + STEP_S
        replaced: list[LogRow] = []
        while self._waiting and (not self._seen or time.monotonic() < ends):
            replaced += self._price(log_row_from_row(self._waiting.popleft()))
        self._changed += len(replaced)
        if self._writes and replaced:
            self._between_batches(lambda: self._write(replaced))
            self._written += len(replaced)
        return self._progress()

    def _write(self, rows: list[LogRow]) -> None:
        """Replace rows, with the sessions that they have by now: ingest gives them to stored rows, too."""
        keys = {_key(row): row for row in rows}
        current = rows_of(self._log, self._scope, list(keys), f"{', '.join(_SESSION)}, updated_at")
        fresh = [self._renewed(keys[Key(each["key_time"], each["request_id"])], each) for each in current]
        self._log.insert(fresh, version_token(fresh))

    def _renewed(self, row: LogRow, current: dict[str, Any]) -> LogRow:
        session = {name: current[name] for name in _SESSION if name != "request_id"}
        return msgspec.structs.replace(
            row,
            request=msgspec.structs.replace(row.request, **session),
            updated_at=max(self._clock(), current["updated_at"] + MILLISECOND),
        )

    def report(self) -> RepriceReport:
        rows = [each.told(model) for model, each in self._sums.items()]
        rows.sort(key=lambda row: (-_change(row), row.model))
        return RepriceReport(
            is_written=self._writes,
            rows=rows,
            total=_total(rows),
            rewritten_requests=self._changed,
        )

    def _progress(self) -> RepriceProgress:
        return RepriceProgress(
            requests=max(self._requests, self._seen),
            seen=self._seen,
            changed=self._changed,
            written=self._written,
        )

    def _load(self) -> bool:
        """The next page; false when there is none."""
        scope = self._scope if self._last is None else after(self._scope, self._last, "oldest")
        keys = find_keys(self._log, scope, PAGE, order="oldest")
        if not keys:
            return False
        self._last = keys[-1]
        self._waiting.extend(rows_of(self._log, scope, keys, _COLUMNS))
        return True

    def _price(self, row: LogRow) -> list[LogRow]:
        """The row with its new cost, if that is another one."""
        request = row.request
        exchange = self._archived(request)
        override = read_attribution(exchange.request_headers).model_override if exchange else ""
        cost = price_again(request, exchange, self._prices, override)
        priced = request if cost is None else with_cost(request, cost)
        self._seen += 1
        self._sums.setdefault(request.model, _Sum()).add(request, priced)
        return [] if priced == request else [msgspec.structs.replace(row, request=priced)]

    def _archived(self, request: Request) -> Exchange | None:
        """The exchange, or the response on a WebSocket, where it is still kept and whole."""
        try:
            return find_call(load_exchange(self._bodies, request), request.id.bytes)
        except (NotFoundError, StoreError, msgspec.MsgspecError):
            return None


def with_cost(request: Request, cost: Cost) -> Request:
    """The request with this cost, to the digits that the log keeps."""
    return msgspec.structs.replace(
        request,
        cost_state=cost.state,
        cost_usd=None if cost.total_usd is None else plain(money(cost.total_usd)),
        cost_parts_usd={name: _plain(money(part)) for name, part in cost.parts_usd.items()},
        cost_reason=cost.reason,
        price_source=cost.price_source,
        price_date=cost.price_date,
    )


def _key(row: LogRow) -> Key:
    moment = row.request.created_at
    return Key(moment.replace(microsecond=moment.microsecond // 1000 * 1000), row.request.id)


def _plain(amount: Decimal) -> Decimal:
    return plain(amount) or Decimal(0)


def version_token(rows: list[LogRow]) -> str:
    """Names just these versions of these rows, so that an insert which is sent again adds nothing."""
    told = hashlib.blake2b(b"reprice", digest_size=16)
    for row in rows:
        told.update(row.request.id.bytes)
        told.update(f"{row.updated_at} {row.request.cost_usd} {row.request.price_source};".encode())
    return told.hexdigest()


def _change(row: RepricedModel) -> Decimal:
    return abs((row.new_cost_usd or Decimal(0)) - (row.old_cost_usd or Decimal(0)))


class _Sum:
    """The calls of one model while they are added up."""

    def __init__(self) -> None:
        self._requests = self._changed = 0
        self._costs: list[Decimal | None] = [None, None]
        self._unknown = [0, 0]
        self._estimated = [0, 0]

    def add(self, old: Request, new: Request) -> None:
        self._requests += 1
        self._changed += (old.cost_usd, old.cost_state) != (new.cost_usd, new.cost_state)
        for place, request in enumerate((old, new)):
            self._costs[place] = add_exactly((self._costs[place], request.cost_usd))
            self._unknown[place] += request.cost_usd is None
            self._estimated[place] += request.cost_state is CostState.ESTIMATED

    def told(self, model: str) -> RepricedModel:
        return RepricedModel(
            model=model,
            requests=self._requests,
            changed_requests=self._changed,
            old_cost_usd=plain(self._costs[0]),
            new_cost_usd=plain(self._costs[1]),
            old_unknown_cost_requests=self._unknown[0],
            new_unknown_cost_requests=self._unknown[1],
            old_estimated_cost_requests=self._estimated[0],
            new_estimated_cost_requests=self._estimated[1],
        )


def _total(rows: list[RepricedModel]) -> RepricedSum:
    return RepricedSum(
        requests=sum(row.requests for row in rows),
        changed_requests=sum(row.changed_requests for row in rows),
        old_cost_usd=plain(add_exactly(row.old_cost_usd for row in rows)),
        new_cost_usd=plain(add_exactly(row.new_cost_usd for row in rows)),
        old_unknown_cost_requests=sum(row.old_unknown_cost_requests for row in rows),
        new_unknown_cost_requests=sum(row.new_unknown_cost_requests for row in rows),
        old_estimated_cost_requests=sum(row.old_estimated_cost_requests for row in rows),
        new_estimated_cost_requests=sum(row.new_estimated_cost_requests for row in rows),
    )

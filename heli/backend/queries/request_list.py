"""Requests, newest or oldest first, page by page; and one by its id.

A page is found in two steps: first the keys, which is cheap over any number of rows, then the rows of these
keys. The place of a page is the key of its last row, so that rows that arrive meanwhile shift nothing.
"""

import base64
import binascii
import datetime
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec

from heli.backend.queries.scope import TABLE, Scope
from heli.backend.stores.request_log import REQUEST_COLUMNS, RequestLog, request_from_row
from heli.schema.errors import UsageError
from heli.schema.request import Request

type Order = Literal["newest", "oldest"]

MAX_LIMIT = 1000
TIME = "DateTime64(3, 'UTC')"
REQUEST_SQL = ", ".join(REQUEST_COLUMNS)


class Key(msgspec.Struct, frozen=True):
    """Where a request stands in the log: it is sorted by these two."""

    created_at: datetime.datetime
    """In whole milliseconds."""
    id: UUID


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some requests, and where the next ones are; `None` when there are no more."""

    requests: list[Request]
    next_cursor: str | None


def list_requests(
    log: RequestLog, scope: Scope, limit: int = 50, cursor: str = "", order: Order = "newest"
) -> Page:
    """One page. Raises `UsageError` for a cursor that heli did not make."""
    if cursor:
        scope = after(scope, read_cursor(cursor), order)
    keys = find_keys(log, scope, limit + 1, order=order)
    page = keys[:limit]
    has_more = len(keys) > limit and bool(page)
    requests = [request_from_row(row) for row in rows_of(log, scope, page, REQUEST_SQL)]
    return Page(requests=requests, next_cursor=write_cursor(page[-1]) if has_more else None)


def count_requests(log: RequestLog, scope: Scope) -> int:
    (row,) = log.select(f"SELECT count() AS requests FROM {TABLE} WHERE {scope.sql}", scope.parameters)  # noqa: S608
    return int(row["requests"])


def find_keys(
    log: RequestLog, scope: Scope, limit: int, offset: int = 0, order: Order = "newest"
) -> list[Key]:
    """The keys of the first rows in the given order."""
    way = "DESC" if order == "newest" else "ASC"
    rows = log.select(
        f"SELECT request_created_at, request_id FROM {TABLE} WHERE {scope.sql}"  # noqa: S608
        f" ORDER BY request_created_at {way}, request_id {way} LIMIT {limit:d} OFFSET {offset:d}",
        scope.parameters,
    )
    return [Key(row["request_created_at"], row["request_id"]) for row in rows]


def rows_of(log: RequestLog, scope: Scope, keys: Sequence[Key], columns: str) -> list[dict[str, Any]]:
    """The rows of these keys, in their order, without those that are gone. `columns` must have request_id.

    Two calls may have one id: only with its time does it tell a row.
    """
    if not keys:
        return []
    times = [key.created_at for key in keys]
    rows = log.select(
        f"SELECT {columns}, request_created_at AS key_time FROM {TABLE}"  # noqa: S608
        " WHERE organization_id = {organisation:UUID}"
        f" AND request_created_at BETWEEN {{first:{TIME}}} AND {{last:{TIME}}}"
        " AND request_id IN {ids:Array(UUID)}",
        {
            "organisation": scope.parameters["organisation"],
            "first": min(times),
            "last": max(times),
            "ids": [str(key.id) for key in keys],
        },
    )
    by_key = {Key(row["key_time"], row["request_id"]): row for row in rows}
    return [by_key[key] for key in keys if key in by_key]


def which_match(log: RequestLog, scope: Scope, requests: Sequence[Request]) -> set[UUID]:
    """The ids of those stored requests that the scope lets through."""
    if not requests:
        return set()
    times = [request.created_at for request in requests]
    found = scope.and_also(
        f"request_created_at BETWEEN {{first:{TIME}}} AND {{last:{TIME}}}"
        " AND request_id IN {ids:Array(UUID)}",
        first=min(times).replace(microsecond=min(times).microsecond // 1000 * 1000),
        last=max(times),
        ids=[str(request.id) for request in requests],
    )
    rows = log.select(f"SELECT request_id FROM {TABLE} WHERE {found.sql}", found.parameters)  # noqa: S608
    return {row["request_id"] for row in rows}


def write_cursor(key: Key) -> str:
    """A short word for a place, opaque to callers."""
    millis = (key.created_at - _EPOCH) // datetime.timedelta(milliseconds=1)
    return base64.urlsafe_b64encode(millis.to_bytes(8, signed=True) + key.id.bytes).decode().rstrip("=")


def read_cursor(text: str) -> Key:
    """Raises `UsageError` for anything but what `write_cursor` makes."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if len(data) != 24:
            raise ValueError(f"{len(data)} bytes")
        millis = datetime.timedelta(milliseconds=int.from_bytes(data[:8], signed=True))
        return Key(_EPOCH + millis, UUID(bytes=data[8:]))
    except (ValueError, OverflowError, binascii.Error) as error:
        raise UsageError(
            f"cursor {text[:60]!r} is not one that heli gave", "pass on next_cursor as it came"
        ) from error


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def after(scope: Scope, key: Key, order: Order) -> Scope:
    """The rows of a scope that come after a place, in this order."""
    sign = "<" if order == "newest" else ">"
    return scope.and_also(
        f"request_created_at {sign}= {{cursor_time:{TIME}}}"
        f" AND (request_created_at, request_id) {sign} ({{cursor_time:{TIME}}}, {{cursor_id:UUID}})",
        cursor_time=key.created_at,
        cursor_id=str(key.id),
    )

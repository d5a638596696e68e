"""The request log: one row for each request, in ClickHouse or in the embedded engine behind its protocol.

Every read asks for `final=1`, so that a request that was written twice is one row in every count and sum.
All methods block and may be called from many threads.
"""

import datetime
import itertools
import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from heli.backend.migrations.clickhouse import migrate
from heli.backend.stores.clickhouse import ClickHouse
from heli.backend.stores.log_columns import (
    COLUMN_TYPES,
    REQUEST_COLUMNS,
    columns_of,
    with_whole_characters,
)
from heli.backend.stores.log_reading import request_from_row
from heli.backend.stores.log_row import LogRow
from heli.schema.errors import UnreachableError
from heli.schema.paths import read_or_make_secret
from heli.schema.settings import Loaded

__all__ = ["REQUEST_COLUMNS", "LogRow", "RequestLog", "open_request_log", "request_from_row"]

TABLE = "request_response_rmt"
STORE_USER = "heli"
READ_SETTINGS = {
    "final": 1,
    # Rows of one id are in one partition: its month is part of the sorting key.
    "do_not_merge_across_partitions_select_final": 1,
    "max_execution_time": 60,
}
MILLISECOND = datetime.timedelta(milliseconds=1)
MOST_IDS = 2_500
"""In one query: a ClickHouse server takes 128 KiB of a parameter by default."""
IN_TIME_BY_ID = (
    "request_created_at >= {earliest:DateTime64(3, 'UTC')}"
    " AND request_created_at <= {latest:DateTime64(3, 'UTC')}"
    " AND request_id IN {ids:Array(UUID)}"
)
"""Calls by their ids, looked for only among those of a time."""

logger = logging.getLogger("heli.backend.stores")


class RequestLog:
    """Insert, look up, select."""

    def __init__(self, server: ClickHouse) -> None:
        self._server = server

    def insert(self, rows: Sequence[LogRow], token: str) -> None:
        """Add rows, durably. The same token again adds nothing: it names the batch, whoever sends it.

        The engine notes a token before the rows that came with it. If it is killed in between, the token is
        known, the rows are not there, and the batch would be dropped for ever. So the log is asked for them.

        Raises `StoreError` when a row cannot be stored, `UnreachableError` when trying again may help.
        """
        if not rows:
            return
        self._insert(rows, token)
        if missing := self._missing(rows):
            logger.warning("%d rows of a batch that is known are not in the log: adding them", len(missing))
            self._insert(missing, f"{token} {uuid.uuid4().hex}")
            if self._missing(missing):
                raise UnreachableError("the request log does not show rows that were just added to it")

    def _insert(self, rows: Sequence[LogRow], token: str) -> None:
        settings = {"insert_deduplication_token": token, "insert_deduplicate": 1, "async_insert": 0}
        columns = columns_of(rows)
        try:
            self._server.insert(TABLE, columns, COLUMN_TYPES, settings)
        except UnicodeEncodeError:
            # Half of a surrogate pair, as JSON may bring it. Rare, so that it is only looked for now.
            self._server.insert(TABLE, with_whole_characters(columns), COLUMN_TYPES, settings)

    def _missing(self, rows: Sequence[LogRow]) -> list[LogRow]:
        """Those that are not in the log, in this version or a later one."""
        return [row for some in itertools.batched(rows, MOST_IDS) for row in self._missing_of(some)]

    def _missing_of(self, rows: Sequence[LogRow]) -> list[LogRow]:
        times = [row.request.created_at for row in rows]
        found = self._server.query(
            "SELECT request_id, toUnixTimestamp64Milli(max(updated_at)) AS version"  # noqa: S608
            f" FROM {TABLE} WHERE {IN_TIME_BY_ID} GROUP BY request_id",
            _in_time([row.request.id for row in rows], min(times), max(times)),
            {"final": 0},
        )
        versions = {row["request_id"]: row["version"] for row in found}
        wanted = columns_of(rows)["updated_at"]
        return [
            row
            for row, version in zip(rows, wanted, strict=True)
            if versions.get(row.request.id, -1) < version
        ]

    def existing(
        self, ids: Collection[uuid.UUID], earliest: datetime.datetime, latest: datetime.datetime
    ) -> dict[uuid.UUID, set[datetime.datetime]]:
        """`{id: when its calls began}` of those in the log, looking only at what began in the given time."""
        found: dict[uuid.UUID, set[datetime.datetime]] = {}
        for some in itertools.batched(ids, MOST_IDS):
            rows = self._server.query(
                f"SELECT DISTINCT request_id, created_at FROM {TABLE} WHERE {IN_TIME_BY_ID}",  # noqa: S608
                _in_time(some, earliest, latest),
                {"final": 0},
            )
            for row in rows:
                found.setdefault(row["request_id"], set()).add(row["created_at"])
        return found

    def select(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a query, each `{column: value}`. Values go in as `{name:Type}`, never into the text."""
        return self._server.query(sql, parameters, READ_SETTINGS)

    def write_again(self, changes: Mapping[str, str], condition: str, parameters: Mapping[str, Any]) -> None:
        """Replace text columns of the rows that meet a condition, durably. Doing it twice changes nothing."""
        # The rows are chosen in a query of their own, as a condition would mean the new values otherwise.
        replaced = ", ".join(f"{{new_{name}:String}} AS {name}" for name in changes)
        same = " AND ".join(f"{name} = {{new_{name}:String}}" for name in changes)
        self._server.command(
            f"INSERT INTO {TABLE} SELECT * REPLACE ({replaced}, updated_at + toIntervalMillisecond(1)"  # noqa: S608
            f" AS updated_at) FROM (SELECT * FROM {TABLE} WHERE ({condition}) AND NOT ({same}))",
            {**READ_SETTINGS, "insert_deduplicate": 0},
            {**parameters, **{f"new_{name}": value for name, value in changes.items()}},
        )

    def ping(self) -> None:
        """Return if the log can be read; raise `UnreachableError`, `DeniedError` or `StoreError` if not."""
        self._server.query(f"SELECT 1 FROM {TABLE} LIMIT 0")  # noqa: S608

    def migrate(self) -> None:
        """Bring the tables up to this heli's version. Safe to repeat, and to break off at any point."""
        migrate(self._server.query, self._server.command)

    def close(self) -> None:
        self._server.close()


def _in_time(
    ids: Collection[uuid.UUID], earliest: datetime.datetime, latest: datetime.datetime
) -> dict[str, Any]:
    return {"earliest": earliest - MILLISECOND, "latest": latest + MILLISECOND, "ids": list(ids)}


def open_request_log(loaded: Loaded) -> RequestLog:
    """The log that the settings name. Connects at the first use."""
    password = "" if loaded.settings.store.url else read_or_make_secret(loaded.paths.store_password)
    return RequestLog(ClickHouse(loaded.settings.store_url, STORE_USER, password))

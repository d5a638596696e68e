"""What the request log knows of calls that go on from each other."""

import datetime
import itertools
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec

from heli.backend.stores.request_log import MOST_IDS, TABLE, RequestLog

MOST_MEMBERS = 20_000
MOST_KEYS = 5_000
"""In one query: a ClickHouse server takes 128 KiB of a parameter by default, and a key has 20 digits."""
TIME = "DateTime64(3, 'UTC')"
THREAD = "thread"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A call, by what joins it to others."""

    id: UUID
    created_at: datetime.datetime
    session_id: str
    session_name: str
    session_path: str
    session_source: str
    keys: list[int]
    follows: list[int]
    is_stored: bool = False


def find_followed(
    log: RequestLog,
    organisation: UUID,
    since: datetime.datetime,
    until: datetime.datetime,
    keys: Collection[int],
) -> list[Member]:
    """Stored calls that left one of these keys."""
    return _find(log, organisation, since, until, "hasAny(thread_keys, {keys:Array(UInt64)})", keys)


def find_following(
    log: RequestLog,
    organisation: UUID,
    since: datetime.datetime,
    until: datetime.datetime,
    keys: Collection[int],
) -> list[Member]:
    """Stored calls without a session of their own that follow one of these keys."""
    condition = (
        "notEmpty(thread_follows) AND session_source IN ('', 'thread')"
        " AND hasAny(thread_follows, {keys:Array(UInt64)})"
    )
    return _find(log, organisation, since, until, condition, keys)


def _find(
    log: RequestLog,
    organisation: UUID,
    since: datetime.datetime,
    until: datetime.datetime,
    condition: str,
    keys: Collection[int],
) -> list[Member]:
    found: dict[UUID, Member] = {}
    for some in itertools.batched(keys, MOST_KEYS):
        for one in _find_some(log, organisation, since, until, condition, some):
            found.setdefault(one.id, one)
        if len(found) >= MOST_MEMBERS:
            break
    return list(found.values())


def _find_some(
    log: RequestLog,
    organisation: UUID,
    since: datetime.datetime,
    until: datetime.datetime,
    condition: str,
    keys: Sequence[int],
) -> list[Member]:
    rows = log.select(
        "SELECT request_id, created_at, session_id, session_name, session_path, session_source, thread_keys,"  # noqa: S608
        f" thread_follows FROM {TABLE} WHERE organization_id = {{organisation:UUID}}"
        f" AND request_created_at BETWEEN {{since:{TIME}}} AND {{until:{TIME}}} AND {condition}"
        f" ORDER BY request_created_at DESC LIMIT {MOST_MEMBERS}",
        {"organisation": organisation, "since": since, "until": until, "keys": list(keys)},
    )
    return [_member(row) for row in rows]


def _member(row: dict[str, Any]) -> Member:
    return Member(
        id=row["request_id"],
        created_at=row["created_at"],
        session_id=row["session_id"],
        session_name=row["session_name"],
        session_path=row["session_path"],
        session_source=row["session_source"],
        keys=list(row["thread_keys"]),
        follows=list(row["thread_follows"]),
        is_stored=True,
    )


def move_to_session(
    log: RequestLog,
    organisation: UUID,
    since: datetime.datetime,
    until: datetime.datetime,
    owner: Member,
    *,
    ids: Sequence[UUID],
    threads: Sequence[str],
) -> None:
    """Write those calls, and all of those threads, again with the session of `owner`."""
    for some_ids, some_threads in itertools.zip_longest(
        itertools.batched(ids, MOST_IDS), itertools.batched(threads, MOST_IDS), fillvalue=()
    ):
        log.write_again(
            {
                "session_id": owner.session_id,
                "session_name": owner.session_name,
                "session_path": owner.session_path,
                "session_source": owner.session_source,
            },
            "organization_id = {organisation:UUID}"
            f" AND request_created_at BETWEEN {{since:{TIME}}} AND {{until:{TIME}}}"
            " AND (request_id IN {ids:Array(UUID)}"
            f" OR (session_source = '{THREAD}' AND session_id IN {{threads:Array(String)}}))",
            {
                "organisation": organisation,
                "since": since,
                "until": until,
                "ids": list(some_ids),
                "threads": list(some_threads),
            },
        )

"""Which calls go on from each other, where none of them names a session: one conversation, one session.

A call leaves keys and follows keys (`heli.providers.threads`). Calls that are joined by them get the session
of the earliest of them, `thread-<when>-<id>`, whatever the order in which they are stored: when an earlier
call comes late, or the first one gets its second, the rows that are stored already are written again with
their session. All state is in the log, so that it does not matter which backend took which call.
"""

import datetime
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

import msgspec

from heli.backend.stores.request_log import LogRow, RequestLog
from heli.backend.stores.threads import Member, find_followed, find_following, move_to_session

WINDOW = datetime.timedelta(hours=24)
"""A conversation that rests for longer is another session."""
THREAD = "thread"
_MOST_KEYS = 20_000
"""Looked for at once; of a batch with more, the last rows are not joined."""


def link(log: RequestLog, organisation: UUID, rows: Sequence[LogRow]) -> list[LogRow]:
    """The rows with the sessions that they were found to belong to. Writes stored rows again where needed.

    Safe to repeat: it is done before the rows are inserted, and the same rows find the same.
    """
    fresh = [_member(row) for row in rows if row.thread_keys or row.thread_follows]
    if not fresh:
        return list(rows)
    members = _gather(log, organisation, fresh)
    found = _Groups(members).sessions()
    _rewrite(log, organisation, [one for one in members if one.is_stored and one.id in found], found)
    return [_joined(row, found.get(row.request.id)) for row in rows]


def _member(row: LogRow) -> Member:
    request = row.request
    return Member(
        id=request.id,
        created_at=request.created_at,
        session_id=request.session_id,
        session_name=request.session_name,
        session_path=request.session_path,
        session_source=request.session_source,
        keys=row.thread_keys,
        follows=row.thread_follows,
    )


def _gather(log: RequestLog, organisation: UUID, fresh: list[Member]) -> list[Member]:
    """The fresh ones with what is stored before and after them, and has to do with them."""
    earliest = min(one.created_at for one in fresh)
    latest = max(one.created_at for one in fresh)
    known = {one.id: one for one in fresh}
    left = {key for one in fresh for key in one.keys}
    wanted = _some(key for one in fresh if not one.session_id for key in one.follows)
    # A fresh call that names no session may also be one that stored calls were waiting for.
    for one in find_following(log, organisation, earliest, latest + WINDOW, _some(left)):
        known.setdefault(one.id, one)
    if wanted:
        for one in find_followed(log, organisation, earliest - WINDOW, latest, wanted):
            known.setdefault(one.id, one)
    return sorted(known.values(), key=lambda one: (one.created_at, one.id))


def _some(keys: Iterable[int]) -> Collection[int]:
    chosen: dict[int, None] = {}
    for key in keys:
        chosen[key] = None
        if len(chosen) >= _MOST_KEYS:
            break
    return chosen


class _Groups:
    """Members, oldest first, joined where one follows another."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self._group = {one.id: one.id for one in members}
        self._by_key: dict[int, list[Member]] = {}
        self._attached: set[UUID] = set()
        for one in members:  # oldest first: a parent stands here before its children look for it
            for parent in self._parents(one):
                self._join(one, parent)
                self._attached.add(one.id)
            for key in one.keys:
                self._by_key.setdefault(key, []).append(one)

    def _parents(self, one: Member) -> list[Member]:
        """The newest that it follows by each sure key, the longest conversation first, until one of them has
        parents itself; the same by the other keys if there is none. Equal conversations may begin often, so
        that the first turns alone say little."""
        for is_sure in (True, False):
            parents: list[Member] = []
            for key in one.follows:
                before = self._before(one, key) if key % 2 == is_sure else None
                if before is not None:
                    parents.append(before)
                    if before.session_id or before.id in self._attached:
                        break
            if parents:
                return parents
        return []

    def _before(self, one: Member, key: int) -> Member | None:
        for each in reversed(self._by_key.get(key, ())):
            if one.created_at - each.created_at > WINDOW:
                return None
            # What is in a thread that began earlier has found its parent already.
            if not (one.is_stored and one.session_id) or thread_id(each) < one.session_id:
                return each
        return None

    def _join(self, one: Member, other: Member) -> None:
        self._group[self._find(one.id)] = self._find(other.id)

    def _find(self, id: UUID) -> UUID:
        while (above := self._group[id]) != id:
            self._group[id] = id = self._group[above]
        return id

    def sessions(self) -> dict[UUID, Member]:
        """`{id: a member that holds the session it is to have}`, of those whose session changes."""
        groups: dict[UUID, list[Member]] = {}
        for one in self._members:
            groups.setdefault(self._find(one.id), []).append(one)
        found: dict[UUID, Member] = {}
        for group in groups.values():
            if len(group) > 1:
                found |= _owner_of(group)
        return found


def _owner_of(group: list[Member]) -> dict[UUID, Member]:
    """A named session wins; else the thread that began first."""
    named = [one for one in group if one.session_id and one.session_source != THREAD]
    if named:
        owner = msgspec.structs.replace(named[0], session_source="inherited")
    else:
        first = min(one.session_id if one.session_id else thread_id(one) for one in group)
        owner = msgspec.structs.replace(
            group[0], session_id=first, session_name="", session_path="/", session_source=THREAD
        )
    return {
        one.id: owner
        for one in group
        if (not one.session_id or one.session_source == THREAD) and one.session_id != owner.session_id
    }


def thread_id(one: Member) -> str:
    """The session that begins with this call; those of earlier calls are smaller."""
    millis = int(one.created_at.timestamp() * 1000)
    return f"{THREAD}-{millis:012x}-{one.id.hex[:6]}"


def _rewrite(log: RequestLog, organisation: UUID, stored: list[Member], found: dict[UUID, Member]) -> None:
    """Stored members, and what else is in the threads that they leave."""
    moves: dict[str, list[Member]] = {}
    for one in stored:
        moves.setdefault(found[one.id].session_id, []).append(one)
    for movers in moves.values():
        owner = found[movers[0].id]
        times = [one.created_at for one in movers]
        move_to_session(
            log,
            organisation,
            min(times) - WINDOW,
            max(times) + WINDOW,
            owner,
            ids=[one.id for one in movers],
            threads=sorted({one.session_id for one in movers if one.session_id}),
        )


def _joined(row: LogRow, owner: Member | None) -> LogRow:
    if owner is None:
        return row
    request = msgspec.structs.replace(
        row.request,
        session_id=owner.session_id,
        session_name=owner.session_name,
        session_path=owner.session_path,
        session_source=owner.session_source,
    )
    return msgspec.structs.replace(row, request=request)

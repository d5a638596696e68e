"""A session as a tree: agents and places in the caller's path, their calls, and tools paired with results.

The tree is made when it is asked for, from what each call says of itself, so that it does not matter in which
order calls came: an agent whose parent made no call yet still hangs below its parent's place.
"""

import datetime
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from heli.backend.queries.money import add_exactly, plain
from heli.backend.queries.request_list import REQUEST_SQL, find_keys, rows_of
from heli.backend.queries.scope import Scope
from heli.backend.stores.request_log import RequestLog, request_from_row
from heli.providers.agents import segment
from heli.providers.tool_uses import ToolUses
from heli.schema.errors import NotFoundError
from heli.schema.request import Request
from heli.schema.session import Session, SessionCall, SessionNode, SessionTotals, ToolPair

MAX_CALLS = 5_000
_MOST_DEEP = 32

_read_uses = msgspec.json.Decoder(ToolUses).decode


class _Told(msgspec.Struct, frozen=True):
    """A request with the tools of both sides."""

    request: Request
    uses: ToolUses


def load_session(log: RequestLog, scope: Scope, session_id: str) -> Session:
    """The session, of at most its first `MAX_CALLS` calls. Raises `NotFoundError`."""
    found = scope.and_also("session_id = {session_id:String}", session_id=session_id)
    keys = find_keys(log, found, MAX_CALLS + 1, order="oldest")
    rows = rows_of(log, found, keys[:MAX_CALLS], f"{REQUEST_SQL}, tool_uses")
    if not rows:
        raise NotFoundError(f"there is no session {session_id[:80]!r}", "see `heli costs --by session`")
    told = [_Told(request_from_row(row), _uses(row)) for row in rows]
    told.sort(key=lambda each: each.request.created_at)  # the log sorts by milliseconds
    return build_session(session_id, told, is_cut=len(keys) > MAX_CALLS)


def _uses(row: dict[str, Any]) -> ToolUses:
    return _read_uses(row["tool_uses"]) if row["tool_uses"] else ToolUses()


def build_session(session_id: str, told: Sequence[_Told], *, is_cut: bool = False) -> Session:
    """`told` is oldest first, and not empty."""
    requests = [each.request for each in told]
    pairs = _pair(told)
    root = _Place("main", "/")
    ancestry = _Ancestry(requests)
    for each in told:
        place = root
        for name in ancestry.path_of(each.request):
            place = place.below(name)
        place.take(SessionCall(request=each.request, tools=pairs[each.request.id]))
    tree = root.as_node()
    ended = [request.ended_at for request in requests if request.ended_at is not None]
    return Session(
        id=session_id,
        name=next((request.session_name for request in requests if request.session_name), ""),
        started_at=requests[0].created_at,
        ended_at=max(ended, default=None),
        agents=_count_callers(tree),
        total=tree.total,
        root=tree,
        is_cut=is_cut,
    )


class _Ancestry:
    """Where each call hangs: the caller's path, then the agents from the outermost to the one that calls."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._parents: dict[tuple[str, str], str] = {}
        self._sessions: dict[str, None] = {}
        for request in requests:
            self._sessions.setdefault(request.agent_session_id)
            if request.agent_id and request.parent_agent_id:
                self._parents[request.agent_session_id, request.agent_id] = request.parent_agent_id
        self._sessions.pop("", None)

    def path_of(self, request: Request) -> list[str]:
        chain = self._chain(request)
        told = [part for part in request.session_path.split("/") if part]
        # The path in the log ends with the agents that the call itself knew of.
        known = [segment(id) for id in (request.parent_agent_id, request.agent_id) if id]
        if known and told[-len(known) :] == known:
            told = told[: -len(known)]
        runs = [segment(request.agent_session_id)] if self._is_one_of_many(request) else []
        return told + runs + [segment(id) for id in chain]

    def _is_one_of_many(self, request: Request) -> bool:
        """A program that was started several times within the session: each start has its own place."""
        if len(self._sessions) < 2 or not request.agent_session_id:
            return False
        return request.agent_session_id != next(iter(self._sessions))

    def _chain(self, request: Request) -> list[str]:
        chain: list[str] = []
        agent = request.agent_id
        while agent and agent not in chain and len(chain) < _MOST_DEEP:
            chain.append(agent)
            agent = self._parents.get((request.agent_session_id, agent), "")
        return chain[::-1]


class _Place:
    """A node while it grows."""

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._path = path
        self._calls: list[SessionCall] = []
        self._children: dict[str, _Place] = {}

    def below(self, name: str) -> "_Place":
        if name not in self._children:
            self._children[name] = _Place(name, f"{self._path.rstrip('/')}/{name}")
        return self._children[name]

    def take(self, call: SessionCall) -> None:
        self._calls.append(call)

    def as_node(self) -> SessionNode:
        children = [child.as_node() for child in self._children.values()]
        requests = [call.request for call in self._calls]
        own = _sum(self._calls)
        return SessionNode(
            name=next((each.agent_name for each in requests if each.agent_name), self._name),
            path=self._path,
            agent_id=next((each.agent_id for each in requests if each.agent_id), ""),
            program=next((each.agent_program for each in requests if each.agent_program), ""),
            calls=self._calls,
            children=children,
            own=own,
            total=_add([own, *(child.total for child in children)]),
        )


def _pair(told: Sequence[_Told]) -> dict[UUID, list[ToolPair]]:
    """`{request: the tools that its reply calls, each with its result}`.

    Of a call that is told twice (a turn that was tried again), each gets the first result that came later.
    """
    results: dict[str, list[tuple[Request, Any]]] = {}
    for each in told:
        for result in each.uses.results:
            results.setdefault(result.id, []).append((each.request, result))
    pairs: dict[UUID, list[ToolPair]] = {}
    for each in told:
        request = each.request
        pairs[request.id] = [_paired(request, call, results.get(call.id, [])) for call in each.uses.calls]
    return pairs


def _paired(request: Request, call: Any, results: list[tuple[Request, Any]]) -> ToolPair:
    found = next(((by, result) for by, result in results if by.created_at >= request.created_at), None)
    if found is None:
        return ToolPair(id=call.id, name=call.name, input=call.input)
    by, result = found
    return ToolPair(
        id=call.id,
        name=call.name,
        input=call.input,
        result=result.text,
        result_characters=result.characters,
        is_error=result.is_error,
        result_request_id=by.id,
        ran_ms=_between_ms(request.ended_at, by.created_at),
    )


def _between_ms(ended: datetime.datetime | None, began: datetime.datetime) -> float | None:
    return None if ended is None else max(0.0, (began - ended).total_seconds() * 1000)


def _sum(calls: Sequence[SessionCall]) -> SessionTotals:
    """Of all calls; those that are no calls of a model cost nothing and hold no tokens."""
    requests = [call.request for call in calls]
    usages = [request.usage for request in requests]
    costs = [request.cost_usd for request in requests]
    return SessionTotals(
        requests=len(requests),
        cost_usd=_money(costs),
        unknown_cost_requests=costs.count(None),
        input_tokens=_count(
            count for u in usages for count in (u.input_tokens, u.input_audio_tokens, u.input_image_tokens)
        ),
        cache_read_tokens=_count(
            count for u in usages for count in (u.cache_read_tokens, u.cache_read_audio_tokens)
        ),
        cache_write_tokens=_count(
            count for u in usages for count in (u.cache_write_5m_tokens, u.cache_write_1h_tokens)
        ),
        output_tokens=_count(
            count for u in usages for count in (u.output_tokens, u.output_audio_tokens, u.output_image_tokens)
        ),
        reasoning_tokens=_count(u.reasoning_tokens for u in usages),
        errors=sum(bool(request.error_class) for request in requests),
        tool_calls=sum(len(call.tools) for call in calls),
    )


def _add(totals: Sequence[SessionTotals]) -> SessionTotals:
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    return SessionTotals(
        requests=sum(each.requests for each in totals),
        cost_usd=_money([each.cost_usd for each in totals]),
        unknown_cost_requests=sum(each.unknown_cost_requests for each in totals),
        errors=sum(each.errors for each in totals),
        tool_calls=sum(each.tool_calls for each in totals),
        **{name: _count(getattr(each, name) for each in totals) for name in names},
    )


def _money(costs: Sequence[Decimal | None]) -> Decimal | None:
    known = [cost for cost in costs if cost is not None]
    return plain(add_exactly(known)) if known else None


def _count(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _count_callers(node: SessionNode) -> int:
    return bool(node.calls) + sum(_count_callers(child) for child in node.children)

"""What was spent, grouped by anything. Sums are exact; what is unknown is counted, never summed as zero."""

import datetime
import zoneinfo
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from heli.backend.queries.money import add_exactly, plain
from heli.backend.queries.scope import TABLE, Scope, only_model_calls
from heli.backend.stores.request_log import RequestLog
from heli.schema.errors import UsageError
from heli.schema.property_names import stored_name
from heli.schema.request import Request
from heli.schema.usage import CostState

MAX_GROUPS = 10_000
MAX_DIMENSIONS = 8
UTC = zoneinfo.ZoneInfo("UTC")
SESSION = "session_id"
COLUMNS = {"model": "model", "provider": "provider", "user": "user_id", "session": SESSION}
COLUMNS["agent"] = "if(agent_name != '', agent_name, agent_id)"
PERIODS = {"hour": "toStartOfHour(created_at, {zone:String})", "day": "toDate(created_at, {zone:String})"}
PERIODS["month"] = "toStartOfMonth(toDate(created_at, {zone:String}))"
PROPERTY = "property:"

TOKENS = {
    "input_tokens": ("usage_input", "usage_input_audio", "usage_input_image"),
    "cache_read_tokens": ("usage_cache_read", "usage_cache_read_audio"),
    "cache_write_tokens": ("usage_cache_write_5m", "usage_cache_write_1h"),
    "output_tokens": ("usage_output", "usage_output_audio", "usage_output_image"),
    "reasoning_tokens": ("usage_reasoning",),
}
"""`{count: ledger columns}`; no token is in two of the counts."""


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """What some requests came to together."""

    requests: int
    cost_usd: Decimal | None
    """The sum of the known costs; `None` when none is known."""
    unknown_cost_requests: int
    """Requests whose cost is unknown, and so not in the sum."""
    estimated_cost_requests: int
    input_tokens: int | None
    """Uncached input of every kind; the counts do not overlap. `None` when nobody told."""
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    """Without reasoning."""
    reasoning_tokens: int | None


class CostReport(msgspec.Struct, frozen=True, kw_only=True):
    """Spend by groups, in the order of time and then of cost, and all of it together."""

    by: list[str]
    rows: list[dict[str, Any]]
    """Each with a key for every word of `by`, and the fields of a spend; with `session_name` by sessions."""
    total: Spend


def spend_report(
    log: RequestLog, scope: Scope, by: Sequence[str], zone: zoneinfo.ZoneInfo = UTC
) -> CostReport:
    """Spend of calls to models, grouped by `by`: model, provider, user, session, agent, property:<name>,
    hour, day, month.

    Days and hours are those of `zone`. Raises `UsageError` for a word that is none of these,
    and when there are more than `MAX_GROUPS` groups.
    """
    dimensions, parameters = _dimensions(by)
    rows = _query(log, only_model_calls(scope), dimensions, {**parameters, "zone": zone.key})
    if len(rows) > MAX_GROUPS:
        raise UsageError(
            f"grouping by {', '.join(by)} makes more than {MAX_GROUPS:,} groups",
            "narrow it by a filter or --since",
        )
    groups = [(row, _spend(row)) for row in rows]
    groups.sort(key=lambda group: _rank(group[0], group[1], by))
    return CostReport(
        by=list(by),
        rows=[
            {**_keys(row, by, zone), **_name(row), **msgspec.structs.asdict(spend)} for row, spend in groups
        ],
        total=add_spends([spend for _, spend in groups]),
    )


def _dimensions(by: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """SQL for each word, and the parameters that it binds."""
    if len(by) > MAX_DIMENSIONS:
        raise UsageError(f"costs are grouped by at most {MAX_DIMENSIONS} things at once, not {len(by)}")
    if len({_folded(word) for word in by}) < len(by):
        raise UsageError(f"{', '.join(by)!r} names the same thing twice")
    dimensions, parameters = [], {}
    for place, word in enumerate(by):
        if word.startswith(PROPERTY) and len(word) > len(PROPERTY):
            dimensions.append(f"properties[{{property_{place}:String}}]")
            parameters[f"property_{place}"] = stored_name(word.removeprefix(PROPERTY))
        elif sql := COLUMNS.get(word) or PERIODS.get(word):
            dimensions.append(sql)
        else:
            choices = ", ".join([*COLUMNS, *PERIODS, "property:<name>"])
            raise UsageError(f"costs cannot be grouped by {word!r}", f"choose from {choices}")
    return dimensions, parameters


def _folded(word: str) -> str:
    return f"{PROPERTY}{stored_name(word.removeprefix(PROPERTY))}" if word.startswith(PROPERTY) else word


def _query(
    log: RequestLog, scope: Scope, dimensions: list[str], parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    keys = [f"{sql} AS key_{place}" for place, sql in enumerate(dimensions)]
    sums = [f"sum({column}) AS sum_{column}" for columns in TOKENS.values() for column in columns]
    counts = [
        "count() AS requests",
        "sum(cost_usd) AS known_cost",
        "countIf(cost_usd IS NULL) AS unknown_cost_requests",
        "countIf(cost_state = 'estimated') AS estimated_cost_requests",
    ]
    if SESSION in dimensions:
        counts.append("max(session_name) AS session_name")
    group = f" GROUP BY {', '.join(f'key_{place}' for place in range(len(keys)))}" if keys else ""
    sql = f"SELECT {', '.join(keys + counts + sums)} FROM {TABLE} WHERE {scope.sql}{group}"  # noqa: S608
    sql += f" LIMIT {MAX_GROUPS + 1}"
    return list(log.select(sql, {**scope.parameters, **parameters}))


def _keys(row: dict[str, Any], by: Sequence[str], zone: zoneinfo.ZoneInfo) -> dict[str, Any]:
    return {word: _key(word, row[f"key_{place}"], zone) for place, word in enumerate(by)}


def _name(row: dict[str, Any]) -> dict[str, Any]:
    return {"session_name": row["session_name"]} if "session_name" in row else {}


def _key(word: str, value: Any, zone: zoneinfo.ZoneInfo) -> Any:
    """`2026-07`, `2026-07-27`, `2026-07-27T14:00:00+02:00`, or the value as it is."""
    if word == "month":
        return f"{value:%Y-%m}"
    if word == "hour":
        instant: datetime.datetime = value if value.tzinfo else value.replace(tzinfo=zone)
        return instant.astimezone(zone).isoformat()
    return value.isoformat() if word == "day" else value


def _spend(row: dict[str, Any]) -> Spend:
    return Spend(
        requests=row["requests"],
        cost_usd=plain(row["known_cost"]) if row["unknown_cost_requests"] < row["requests"] else None,
        unknown_cost_requests=row["unknown_cost_requests"],
        estimated_cost_requests=row["estimated_cost_requests"],
        **{name: _count([row[f"sum_{column}"] for column in columns]) for name, columns in TOKENS.items()},
    )


def spend_of(request: Request) -> Spend:
    """What a single request comes to, in the same counts as those of many."""
    usage = request.usage
    counts = {
        name: _count([getattr(usage, f"{column.removeprefix('usage_')}_tokens") for column in columns])
        for name, columns in TOKENS.items()
    }
    return Spend(
        requests=1,
        cost_usd=request.cost_usd,
        unknown_cost_requests=int(request.cost_usd is None),
        estimated_cost_requests=int(request.cost_state is CostState.ESTIMATED),
        **counts,
    )


def add_spends(spends: Sequence[Spend]) -> Spend:
    """Several spends as one."""
    return Spend(
        requests=sum(spend.requests for spend in spends),
        cost_usd=plain(add_exactly(spend.cost_usd for spend in spends)),
        unknown_cost_requests=sum(spend.unknown_cost_requests for spend in spends),
        estimated_cost_requests=sum(spend.estimated_cost_requests for spend in spends),
        **{name: _count([getattr(spend, name) for spend in spends]) for name in TOKENS},
    )


def _count(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _rank(row: dict[str, Any], spend: Spend, by: Sequence[str]) -> tuple[Any, ...]:
    keys = [(word in PERIODS, row[f"key_{place}"]) for place, word in enumerate(by)]
    times = [value for is_time, value in keys if is_time]
    others = [value for is_time, value in keys if not is_time]
    return (times, spend.cost_usd is None, -(spend.cost_usd or 0), -spend.requests, others)


def find_zone(name: str) -> zoneinfo.ZoneInfo:
    """Raises `UsageError` for a name that is not in the IANA table."""
    try:
        if name.startswith("right/"):  # zones that count leap seconds, which the log does not know
            raise ValueError(name)
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"there is no time zone {name!r}", "use an IANA name such as Europe/Berlin"
        ) from error

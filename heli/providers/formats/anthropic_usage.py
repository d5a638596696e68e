"""Usage as Anthropic reports it."""

from collections.abc import Iterable

from heli.providers.json_values import Json, as_count, as_dict, as_list, field
from heli.providers.usage_ledger import minus, positive
from heli.schema.usage import Usage


def read_usage(usage: Json) -> Usage:
    """`input_tokens` excludes the cache, `output_tokens` includes thinking; newer replies tell it apart."""
    fields = as_dict(usage)
    if not fields:
        return Usage()
    write_5m, write_1h = _cache_writes(fields)
    thinking = as_count(field(fields, "output_tokens_details", "thinking_tokens"))
    counts = [_Counts(fields, write_5m, write_1h)]
    # What a compaction step used is billed, but is not in the totals of the message.
    counts += [
        _Counts(as_dict(step), *_cache_writes(as_dict(step)))
        for step in as_list(fields.get("iterations"))
        if field(step, "type") == "compaction"
    ]
    return Usage(
        input_tokens=_sum(each.input for each in counts),
        cache_read_tokens=_sum(each.cache_read for each in counts),
        cache_write_5m_tokens=_sum(each.write_5m for each in counts),
        cache_write_1h_tokens=_sum(each.write_1h for each in counts),
        output_tokens=minus(_sum(each.output for each in counts), thinking),
        reasoning_tokens=thinking,
        server_tool_uses=_server_tools(fields.get("server_tool_use")),
    )


class _Counts:
    """One step's counts."""

    def __init__(self, fields: dict[str, Json], write_5m: int | None, write_1h: int | None) -> None:
        self.input = as_count(fields.get("input_tokens"))
        self.output = as_count(fields.get("output_tokens"))
        self.cache_read = as_count(fields.get("cache_read_input_tokens"))
        self.write_5m = write_5m
        self.write_1h = write_1h


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _cache_writes(fields: dict[str, Json]) -> tuple[int | None, int | None]:
    """Writes for 5 minutes and for an hour; what is not split was written for 5 minutes, the default."""
    total = as_count(fields.get("cache_creation_input_tokens"))
    write_5m = as_count(field(fields, "cache_creation", "ephemeral_5m_input_tokens"))
    write_1h = as_count(field(fields, "cache_creation", "ephemeral_1h_input_tokens"))
    if write_5m is None and write_1h is None:
        return total, None
    if total is not None:
        write_5m = max(write_5m or 0, total - (write_1h or 0))
    return write_5m, write_1h


def _server_tools(uses: Json) -> dict[str, int]:
    """`{web_search_requests: 2}` as `{web_search: 2}`."""
    counts = {
        name.removesuffix("_requests"): positive(as_count(count)) for name, count in as_dict(uses).items()
    }
    return {tool: count for tool, count in counts.items() if count}

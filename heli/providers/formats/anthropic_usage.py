"""Usage as Anthropic reports it: totals, and beside them steps that the totals leave out."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from heli.providers.formats.format import Billed
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.providers.usage_ledger import add_ledgers, minus, positive
from heli.schema.usage import Usage

US_ONLY = Decimal("1.1")
"""Inference that is kept in the US costs a tenth more (platform.claude.com, Data residency)."""


def read_usage(usage: Json) -> Usage:
    """All that one message used, whichever model did it."""
    return add_ledgers([part.usage for part in read_parts(usage)])


def read_parts(usage: Json) -> list[Billed]:
    """What is priced by itself: first what the reply's own model used, then the steps beside its totals.

    These are compactions, an advisor's answers (of another model), and attempts that a model declined before
    another one took over (platform.claude.com: Compaction, Advisor tool, Refusals and fallback).
    """
    fields = as_dict(usage)
    if not fields:
        return []
    own, others = _sort_steps([as_dict(step) for step in as_list(fields.get("iterations"))])
    factor = US_ONLY if fields.get("inference_geo") == "us" else Decimal(1)
    speed = as_text(fields.get("speed"))
    whole = Billed("", _with_each_step(_read_ledger(fields), own), speed, factor)
    beside = [
        Billed(as_text(step.get("model")), _read_ledger(step), "", factor, is_beside=True) for step in others
    ]
    return [whole, *beside]


type _Step = dict[str, Json]


def _sort_steps(steps: Sequence[_Step]) -> tuple[list[_Step], list[_Step]]:
    """`(steps in the totals, steps beside them)`. The last attempt is the one that the totals tell of."""
    fallbacks = [place for place, step in enumerate(steps) if step.get("type") == "fallback_message"]
    own: list[_Step] = []
    others: list[_Step] = []
    for place, step in enumerate(steps):
        kind = step.get("type")
        is_declined = bool(fallbacks) and (
            place < fallbacks[0]
            or (kind == "fallback_message" and step.get("model") != steps[fallbacks[-1]].get("model"))
        )
        if kind in ("compaction", "advisor_message") or (is_declined and kind in _ATTEMPTS):
            others.append(step)
        elif kind in _ATTEMPTS:
            own.append(step)
    return own, others


_ATTEMPTS = ("message", "fallback_message")


def _with_each_step(totals: Usage, steps: Sequence[_Step]) -> Usage:
    """Where an advisor was asked, the totals once held the input of the first step only."""
    told = add_ledgers([_read_ledger(step) for step in steps])
    return msgspec.structs.replace(
        totals,
        input_tokens=_larger(totals.input_tokens, told.input_tokens),
        cache_read_tokens=_larger(totals.cache_read_tokens, told.cache_read_tokens),
    )


def _larger(one: int | None, other: int | None) -> int | None:
    return other if one is None else max(one, other or 0)


def declined_silently(usage: Json) -> bool:
    """Whether a model declined before it said anything, and another took over."""
    _, others = _sort_steps([as_dict(step) for step in as_list(field(usage, "iterations"))])
    return any(step.get("type") in _ATTEMPTS and not step.get("output_tokens") for step in others)


def _read_ledger(fields: _Step) -> Usage:
    """`input_tokens` excludes the cache, `output_tokens` includes thinking; newer replies tell it apart."""
    write_5m, write_1h = _cache_writes(fields)
    thinking = as_count(field(fields, "output_tokens_details", "thinking_tokens"))
    return Usage(
        input_tokens=as_count(fields.get("input_tokens")),
        cache_read_tokens=as_count(fields.get("cache_read_input_tokens")),
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        output_tokens=minus(as_count(fields.get("output_tokens")), thinking),
        reasoning_tokens=thinking,
        server_tool_uses=_server_tools(fields.get("server_tool_use")),
    )


def _cache_writes(fields: _Step) -> tuple[int | None, int | None]:
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

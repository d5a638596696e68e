"""From a provider's totals to heli's disjoint ledger: the one place where inclusive counts are split."""

from collections.abc import Sequence

from heli.providers.json_values import Json, as_count, as_dict
from heli.schema.usage import Usage


def split_totals(
    *,
    total_input: int | None = None,
    total_output: int | None = None,
    cache_read: int | None = None,
    cache_write_5m: int | None = None,
    cache_write_1h: int | None = None,
    input_audio: int | None = None,
    input_image: int | None = None,
    cache_read_audio: int | None = None,
    reasoning: int | None = None,
    output_audio: int | None = None,
    output_image: int | None = None,
    server_tool_uses: dict[str, int] | None = None,
) -> Usage:
    """A ledger from totals that include their parts.

    `cache_read` and `input_audio` exclude `cache_read_audio`. Parts that exceed their total show that the
    total did not include them; then it is the uncached, or visible, count itself.
    """
    return Usage(
        input_tokens=_rest(
            total_input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            input_audio,
            input_image,
            cache_read_audio,
        ),
        cache_read_tokens=cache_read,
        cache_write_5m_tokens=cache_write_5m,
        cache_write_1h_tokens=cache_write_1h,
        input_audio_tokens=input_audio,
        input_image_tokens=input_image,
        cache_read_audio_tokens=cache_read_audio,
        output_tokens=_rest(total_output, reasoning, output_audio, output_image),
        reasoning_tokens=reasoning,
        output_audio_tokens=output_audio,
        output_image_tokens=output_image,
        server_tool_uses=server_tool_uses or {},
    )


def _rest(total: int | None, *parts: int | None) -> int | None:
    if total is None:
        return None
    known = 0
    for part in parts:
        if part:
            known += part
    return total - known if known <= total else total


def first_count(usage: Json, *names: str) -> int | None:
    """The first of these fields that holds a count."""
    fields = as_dict(usage)
    for name in names:
        if (value := fields.get(name)) is not None and (count := as_count(value)) is not None:
            return count
    return None


def minus(count: int | None, part: int | None) -> int | None:
    """`count` without `part`, never below zero."""
    if count is None or not part:
        return count
    return max(0, count - part)


def positive(count: int | None) -> int | None:
    """`None` for zero: for parts that most replies mention only to say that there is none."""
    return count or None


def add_ledgers(ledgers: Sequence[Usage]) -> Usage:
    """What several calls used in all. A count is unknown only where none of them told it."""
    if not ledgers:
        return Usage()
    sums: dict[str, int | None] = {}
    for name in _COUNTS:
        known = [count for ledger in ledgers if (count := getattr(ledger, name)) is not None]
        sums[name] = sum(known) if known else None
    uses: dict[str, int] = {}
    for ledger in ledgers:
        for tool, count in ledger.server_tool_uses.items():
            uses[tool] = uses.get(tool, 0) + count
    return Usage(**sums, server_tool_uses=uses)


_COUNTS = tuple(name for name in Usage.__struct_fields__ if name != "server_tool_uses")

"""What pricing the log again comes to: how far it is, and what it changes."""

from decimal import Decimal

import msgspec


class RepricedSum(msgspec.Struct, frozen=True, kw_only=True):
    """Some calls before and after. Calls of unknown cost are in no sum."""

    requests: int = 0
    changed_requests: int = 0
    """Those that cost something else now, or are known now or no more."""
    old_cost_usd: Decimal | None = None
    new_cost_usd: Decimal | None = None
    old_unknown_cost_requests: int = 0
    new_unknown_cost_requests: int = 0
    old_estimated_cost_requests: int = 0
    new_estimated_cost_requests: int = 0


class RepricedModel(RepricedSum, frozen=True, kw_only=True):
    """The calls of one model."""

    model: str


class RepriceProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is."""

    requests: int
    """All that are looked at."""
    seen: int = 0
    changed: int = 0
    """What differs so far: costs, or only where they come from."""
    written: int = 0


class RepriceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What it came to."""

    is_written: bool
    """False for a look only."""
    rows: list[RepricedModel]
    """By model, the largest change first."""
    total: RepricedSum
    rewritten_requests: int
    """Rows that are replaced, or would be: also those whose cost stays and comes from another price list."""

"""Prices of one model for one kind of service at one time, and what a ledger comes to at them."""

import datetime
import operator
from decimal import Decimal

import msgspec

from heli.schema.usage import BILLED_UNITS, Cost, CostState, Usage

TOKEN_FIELDS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "cache_read_audio_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
)
"""The token counts of a ledger; the names of the parts of a cost."""

FREE_TOOLS = frozenset({"web_fetch", "tool_search", "open_page"})
"""Tools whose use costs nothing beyond the tokens."""

_ONE = Decimal(1)
_HAVE_OWN_PRICE = frozenset(
    {
        "input_audio_tokens",
        "cache_read_audio_tokens",
        "output_audio_tokens",
        "cache_write_1h_tokens",
    }
)
"""Counts that cost more than plain ones wherever they are priced: what stands in is told to be a guess."""
_counts = operator.attrgetter(*TOKEN_FIELDS)


class Rate(msgspec.Struct, frozen=True):
    """Dollars per million tokens, or per thousand uses."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()
    """`(above this many input tokens in all, price of every token then)`, ascending."""
    is_own: bool = True
    """False when no price of its own is listed and that of plain input or output stands in."""

    def at(self, usage: Usage) -> Decimal:
        price = self.base
        if not self.tiers:
            return price
        total_input = usage.total_input_tokens or 0
        for start, tier_price in self.tiers:
            if total_input > start:
                price = tier_price
        return price


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """All prices that apply to one call."""

    source: str
    """`genai-prices 0.2.3`, `override`."""
    tokens: dict[str, Rate] = {}
    """`{ledger field: dollars per million}`."""
    tools: dict[str, Rate] = {}
    """`{tool or unit: dollars for as many as unit_size says}`."""
    request: Rate | None = None
    """Dollars per thousand requests."""
    is_free: bool = False
    doubt: str = ""
    """Why these prices may not be those that were charged, such as a service tier that is not listed."""


def compute_cost(
    rates: Rates, usage: Usage, day: datetime.date, estimated: str = "", factor: Decimal = _ONE
) -> Cost:
    """The ledger at these rates, exactly. `estimated` says why the counts are not the provider's own."""
    if rates.is_free:
        return Cost(state=CostState.FREE, total_usd=Decimal(0), price_source=rates.source, price_date=day)
    doubts = [doubt for doubt in (estimated, rates.doubt) if doubt]
    parts: dict[str, Decimal] = {}
    for name, count in zip(TOKEN_FIELDS, _counts(usage), strict=True):
        if not count:
            continue
        rate = rates.tokens.get(name)
        if rate is None:
            return _unknown(rates, day, f"no price for {name.replace('_', ' ')}")
        if not rate.is_own and name in _HAVE_OWN_PRICE:
            doubts.append(f"no price of its own for {name.replace('_', ' ')}")
        parts[name] = (rate.at(usage) * count * factor).scaleb(-6)
    if not parts and usage.total_tokens is None and not usage.server_tool_uses:
        return _unknown(rates, day, "the provider reported no usage")
    # Without their price there is no cost: the tokens beside them are the lesser part.
    for unit in BILLED_UNITS & usage.server_tool_uses.keys() - rates.tools.keys():
        return _unknown(rates, day, f"no price for {unit.replace('_', ' ')}")
    _add_uses(rates, usage, parts, doubts)
    return Cost(
        state=CostState.ESTIMATED if doubts else CostState.EXACT,
        total_usd=sum(parts.values(), Decimal(0)),
        parts_usd=parts,
        price_source=rates.source,
        price_date=day,
        reason="; ".join(doubts),
    )


def _add_uses(rates: Rates, usage: Usage, parts: dict[str, Decimal], doubts: list[str]) -> None:
    if rates.request is not None:
        parts["requests"] = rates.request.base.scaleb(-3)
    for tool, uses in usage.server_tool_uses.items():
        rate = rates.tools.get(tool)
        if rate is not None:
            parts[f"server_tool_uses.{tool}"] = rate.base * uses / unit_size(tool)
        elif tool not in FREE_TOOLS and uses:
            doubts.append(f"{uses} × {tool} not priced")


def unit_size(tool: str) -> Decimal:
    """How many uses a listed price is for: an hour, a million characters or tokens, a thousand others."""
    if tool == "audio_seconds":
        return Decimal(3600)
    return Decimal(1_000_000 if tool == "characters" or tool.endswith("_tokens") else 1000)


def _unknown(rates: Rates, day: datetime.date, reason: str) -> Cost:
    return Cost(state=CostState.UNKNOWN, price_source=rates.source, price_date=day, reason=reason)

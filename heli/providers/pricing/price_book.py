"""What a call costs: the operator's prices first, then the public table, and why when neither knows."""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Self

import msgspec

from heli.providers.pricing.price_override import PriceOverrides, read_overrides
from heli.providers.pricing.price_table import SOURCE as TABLE
from heli.providers.pricing.price_table import PriceTable, changes_within_day
from heli.providers.pricing.rates import Rates, compute_cost
from heli.schema.usage import Cost, CostState, Usage

LOCAL_PROVIDERS = frozenset({"LOCAL", "OLLAMA"})
"""Models on the user's own machine: nobody sends a bill."""

_CACHED_LOOKUPS = 4096
_ONE = Decimal(1)

_PLAUSIBLE = 20
"""A reported cost this many times away from the computed one is not believed."""
_MOST_REPORTED_USD = Decimal(1000)
"""Nor is one above this where no price is known to compare it with."""


class PriceBook:
    """All prices that heli knows. Looking a model up is remembered for the day."""

    def __init__(
        self,
        overrides: PriceOverrides | None = None,
        table: PriceTable | None = None,
        day: datetime.date | None = None,
    ) -> None:
        """`day` is the one whose prices count for all calls; that of each call when it is left out."""
        self._day = day
        self._overrides = overrides or PriceOverrides()
        self._table = table or PriceTable()
        self._known: dict[tuple[str, tuple[str, ...], str, str, datetime.date], Rates | None] = {}

    @classmethod
    def load(cls, override_file: Path | None = None) -> Self:
        """With the operator's file, which may be missing. Raises `UsageError` when it is there and wrong."""
        if override_file is None or not override_file.exists():
            return cls()
        return cls(read_overrides(override_file))

    def price(
        self,
        provider: str,
        models: str | Sequence[str],
        usage: Usage,
        when: datetime.datetime,
        *,
        tier: str = "",
        speed: str = "",
        estimated: str = "",
        factor: Decimal = _ONE,
        reported_usd: Decimal | None = None,
    ) -> Cost:
        """The cost of `usage` at the prices of `when`.

        `models` are the names that the call goes by, the surest first: the first one with a price of the
        operator's counts, else the first one in the table.
        `estimated` says why the counts are not the provider's own, `factor` is a surcharge on tokens,
        `reported_usd` is what the provider says that it charged.
        """
        when = when.astimezone(datetime.UTC)
        if self._day is not None:
            when = datetime.datetime.combine(self._day, when.timetz())
        names = [models] if isinstance(models, str) else [name for name in models if name]
        computed = self._compute(provider, names, usage, when, tier, speed, estimated, factor)
        if reported_usd is None or computed.price_source not in ("", TABLE):  # the operator knows better
            return computed
        return _reported_cost(provider, reported_usd, computed)

    def _compute(
        self,
        provider: str,
        names: Sequence[str],
        usage: Usage,
        when: datetime.datetime,
        tier: str,
        speed: str,
        estimated: str,
        factor: Decimal,
    ) -> Cost:
        # An entry for any model also fits a call that names none, and no other call by a name it lacks.
        rates = self._find_rates(provider, tuple(names) or ("",), when, tier, speed)
        if rates is not None:
            return compute_cost(rates, usage, when.date(), estimated, factor)
        return self._without_rates(provider, names, when.date())

    def _without_rates(self, provider: str, models: Sequence[str], day: datetime.date) -> Cost:
        name = next((model for model in models if model), "")
        if provider in LOCAL_PROVIDERS:
            if not self._table.has_paid_model(name):
                return Cost(state=CostState.FREE, total_usd=Decimal(0), price_date=day)
            reason = f"{name} is sold by its maker, but was called through a local server"
        else:
            reason = f"no price for {name} at {provider}" if name else "the model is not known"
        return Cost(state=CostState.UNKNOWN, price_date=day, reason=reason)

    def _find_rates(
        self, provider: str, names: tuple[str, ...], when: datetime.datetime, tier: str, speed: str
    ) -> Rates | None:
        key = (provider, names, tier, speed, when.date())
        if key in self._known:
            return self._known[key]
        rates, is_lasting = self._look_up(provider, names, when, tier, speed)
        if is_lasting:
            if len(self._known) >= _CACHED_LOOKUPS:
                self._known.clear()
            self._known[key] = rates
        return rates

    def _look_up(
        self, provider: str, names: Sequence[str], when: datetime.datetime, tier: str, speed: str
    ) -> tuple[Rates | None, bool]:
        """The rates, and whether they hold for the whole day."""
        for model in names:
            override = self._overrides.find(provider, model, tier, when.date())
            if override is not None:
                return override, True
        seller = self._overrides.same_prices.get(provider.lower(), provider)
        for model in names:
            if (found := self._table.find(seller, model)) is not None:
                return self._table.rates(*found, when, tier, speed), not changes_within_day(found[1])
        return None, True


def _reported_cost(provider: str, reported: Decimal, computed: Cost) -> Cost:
    """The provider's own figure where it is believable, with heli's beside it where they differ."""
    own = computed.total_usd
    lowest, highest = (own / _PLAUSIBLE, own * _PLAUSIBLE) if own else (Decimal(0), _MOST_REPORTED_USD)
    if not lowest <= reported <= highest:
        reason = f"{provider} reported {reported:f} dollars, which is not believable"
        if own is None:
            return Cost(state=CostState.UNKNOWN, price_date=computed.price_date, reason=reason)
        reason = f"{computed.reason}; {reason}" if computed.reason else reason
        return msgspec.structs.replace(computed, state=CostState.ESTIMATED, reason=reason)
    return Cost(
        state=CostState.EXACT,
        total_usd=reported,
        parts_usd={"reported": reported},
        price_source=f"reported by {provider}",
        price_date=computed.price_date,
        reason="" if own is None or own == reported else f"{own:f} by {computed.price_source}",
    )

"""The cost of usage whose parts have a model or a price level of their own."""

import datetime
from collections.abc import Sequence

from heli.providers.formats.format import Billed
from heli.providers.previews import word
from heli.providers.pricing.price_book import PriceBook
from heli.providers.pricing.summed import sum_costs
from heli.schema.usage import Cost


def price_parts(
    prices: PriceBook,
    provider: str,
    models: Sequence[str],
    parts: Sequence[Billed],
    when: datetime.datetime,
    *,
    tier: str,
    estimated: str,
) -> Cost:
    """`models` are the names that the reply's own model goes by, the first of them the caller's override."""
    costs = [
        prices.price(
            provider,
            # What another model did has nothing to do with the names of the reply's own.
            [word(part.model), models[0]] if part.model else models,
            part.usage,
            when,
            tier=tier,
            speed=word(part.speed),
            estimated=estimated,
            factor=part.price_factor,
        )
        for part in parts
    ]
    return sum_costs(costs, when.date())

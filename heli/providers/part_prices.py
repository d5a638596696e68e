"""The cost of usage whose parts have a model or a price level of their own."""

import datetime
from collections.abc import Sequence
from decimal import Decimal

import msgspec

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
    costs = []
    own = ""
    for part in parts:
        own = own if part.is_beside else part.model
        cost = prices.price(
            provider,
            _names(part, own, models),
            part.usage,
            when,
            tier=tier,
            speed=word(part.speed),
            estimated=estimated,
            factor=part.price_factor,
        )
        costs.append(_without_request(cost) if part.is_beside else cost)
    return sum_costs(costs, when.date())


def _names(part: Billed, own: str, models: Sequence[str]) -> Sequence[str]:
    """`own` is the model of the request that the part belongs to. The override speaks for no other one."""
    if not part.model:
        return models
    return [word(part.model), models[0]] if part.model == own else [word(part.model)]


def _without_request(cost: Cost) -> Cost:
    """The price per request is paid once, by the part that is the request."""
    if "requests" not in cost.parts_usd:
        return cost
    parts = {name: amount for name, amount in cost.parts_usd.items() if name != "requests"}
    return msgspec.structs.replace(cost, total_usd=sum(parts.values(), Decimal(0)), parts_usd=parts)

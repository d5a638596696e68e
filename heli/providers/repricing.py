"""The cost of a stored request at other prices, made in the way that made it when it came."""

from decimal import Decimal

import msgspec

from heli.providers.formats.anthropic_usage import US_ONLY, read_parts
from heli.providers.formats.openai_usage import reported_cost
from heli.providers.interpretation import Interpretation, interpret
from heli.providers.json_values import Json, Unreadable, as_text, decode_json, field
from heli.providers.part_prices import price_parts
from heli.providers.pricing.price_book import PriceBook
from heli.providers.recognition import path_model
from heli.providers.usage_ledger import add_ledgers
from heli.schema.exchange import Exchange
from heli.schema.request import Request
from heli.schema.usage import Cost, CostState

_KEPT = frozenset({CostState.FREE, CostState.CACHED})
"""No price makes these cost anything, as long as the counts are all that is known."""


def price_again(
    request: Request, exchange: Exchange | None, prices: PriceBook, model_override: str = ""
) -> Cost | None:
    """What the request costs at `prices`; `None` where its cost does not depend on any price.

    The archived exchange tells all that a price depends on. Without it, or where it does not give the row's
    counts and models any more (its bodies were left out, or heli has learned since), those of the row are
    priced.
    """
    if request.cost_state is CostState.CACHED:
        return None
    if exchange is not None:
        read = interpret(exchange, prices, model_override)
        if _tells_the_same(read, request):
            return read.cost
    return None if request.cost_state in _KEPT else _price_counts(request, prices, model_override)


def _tells_the_same(read: Interpretation, request: Request) -> bool:
    """Whether all that a price depends on is still there. Replies often do not name the model."""
    told = (read.usage, read.provider, read.request_model, read.response_model)
    return told == (request.usage, request.provider, request.request_model, request.response_model)


def _price_counts(request: Request, prices: PriceBook, model_override: str) -> Cost:
    usage = _provider_usage(request)
    named = path_model(request.path.partition("?")[0])
    names = [model_override, request.response_model, request.request_model, named, request.model]
    if request.provider == "BEDROCK":
        names.insert(1, named)  # it names the region too, which has its price
    parts = read_parts(usage) if field(usage, "iterations") else []
    if len(parts) > 1 and add_ledgers([part.usage for part in parts]) == request.usage:
        return price_parts(
            prices,
            request.provider,
            names,
            parts,
            request.created_at,
            tier=request.service_tier,
            estimated=_doubt(request),
        )
    cost = prices.price(
        request.provider,
        [name for name in names if name],
        request.usage,
        request.created_at,
        tier=request.service_tier,
        speed=as_text(field(usage, "speed")),
        estimated=_doubt(request),
        factor=US_ONLY if field(usage, "inference_geo") == "us" else Decimal(1),
        reported_usd=reported_cost(usage),
    )
    # A reason of before may come up again: once is enough, and running again changes nothing.
    return msgspec.structs.replace(cost, reason="; ".join(dict.fromkeys(cost.reason.split("; "))))


def _provider_usage(request: Request) -> Json:
    value = decode_json(request.provider_usage.encode()) if request.provider_usage else None
    return None if isinstance(value, Unreadable) else value


def _doubt(request: Request) -> str:
    """Why these counts, or their price, may not be what was billed."""
    if request.operation == "batch_results":
        return "counts from the log: they do not tell the calls of the batch apart"
    if request.cost_state is CostState.EXACT:
        return ""
    if request.cost_state is CostState.ESTIMATED and request.cost_reason:
        return request.cost_reason
    is_told = bool(request.provider_usage and request.finish_reason)
    return "" if is_told else "counts from the log: the archived reply does not tell them"

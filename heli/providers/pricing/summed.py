"""Several costs as one, such as those of the calls in a batch."""

import datetime
from collections.abc import Sequence
from decimal import Decimal

from heli.schema.usage import Cost, CostState

_MOST_REASONS = 3
_STATES = (CostState.UNKNOWN, CostState.ESTIMATED, CostState.EXACT, CostState.FREE)
"""The least certain first: a sum is as certain as its least certain part."""


def sum_costs(costs: Sequence[Cost], day: datetime.date) -> Cost:
    """Unknown when one of them is: a part is not passed off as the whole."""
    if not costs:
        return Cost(state=CostState.UNKNOWN, price_date=day, reason="the provider reported no usage")
    state = next((state for state in _STATES if any(cost.state is state for cost in costs)), CostState.EXACT)
    reasons = list(dict.fromkeys(cost.reason for cost in costs if cost.state is state and cost.reason))
    source = next((cost.price_source for cost in costs if cost.price_source), "")
    reason = "; ".join(reasons[:_MOST_REASONS])
    if state is CostState.UNKNOWN:
        return Cost(state=state, price_source=source, price_date=day, reason=reason)
    parts: dict[str, Decimal] = {}
    for cost in costs:
        for name, amount in cost.parts_usd.items():
            parts[name] = parts.get(name, Decimal(0)) + amount
    total = sum((cost.total_usd or Decimal(0) for cost in costs), Decimal(0))
    return Cost(
        state=state,
        total_usd=total,
        parts_usd=parts,
        price_source=source,
        price_date=day,
        reason=reason,
    )

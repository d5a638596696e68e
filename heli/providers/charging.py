"""Whether a provider bills a call that did not go well; docs/prices.md tells the same for people."""

import enum

from heli.schema.exchange import Exchange, Outcome, Reach


class Charge(enum.Enum):
    """What a provider asks for a call that told no usage."""

    NOTHING = "nothing"
    """It never got the call, or refused it."""
    UNTOLD = "untold"
    """It got the call, and nobody can know whether the model ran and was billed."""
    USAGE = "usage"
    """What was used, as far as it came."""


_MAY_HAVE_RUN = frozenset({408, 499})
"""Statuses below 500 that say how long the provider took, not that it refused."""
_REFUSED = frozenset({503, 529})
"""Statuses from 500 on that say that the provider had no room for the call."""

_BILLED_400 = {"AZURE": frozenset({"content_filter", "context_length"})}
"""`{provider: heli's words for errors}` of a 400 that is billed or may be, as the prompt was processed.

Azure OpenAI's page "Plan and manage costs" says so, and that 401 and 429 are not billed.
"""
_FREE_500 = frozenset({"GOOGLE"})
"""Gemini API, "Billing": a request that fails with 400 or 500 is not charged."""


def expected_charge(exchange: Exchange, provider: str, error_class: str) -> Charge:
    """What is to be expected where the reply told no usage. `error_class` is heli's word for the failure."""
    status = provider_status(exchange)
    if status is None:
        never_sent = exchange.outcome is Outcome.REFUSED or exchange.reach is Reach.NOT_SENT
        return Charge.NOTHING if never_sent else Charge.UNTOLD
    if status < 400:
        return Charge.USAGE
    if status == 400 and error_class in _BILLED_400.get(provider, ()):
        return Charge.UNTOLD
    if status < 500:
        return Charge.UNTOLD if status in _MAY_HAVE_RUN else Charge.NOTHING
    is_refusal = status in _REFUSED or (status == 500 and provider in _FREE_500)
    return Charge.NOTHING if is_refusal else Charge.UNTOLD


def provider_status(exchange: Exchange) -> int | None:
    """The status with which the provider answered; `None` when no answer of its own is known."""
    if exchange.upstream_status is not None:
        return exchange.upstream_status
    is_own = exchange.outcome is Outcome.COMPLETE or exchange.reach is Reach.ANSWERED
    # Records of before heli noted how far a call got: its own errors were recorded without headers.
    is_own = is_own or (exchange.reach is None and bool(exchange.response_headers))
    return exchange.response_status if is_own else None

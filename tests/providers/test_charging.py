"""What a failed call costs: nothing where that is sure, and unknown where nobody can know."""

import pytest

from heli.providers.interpretation import interpret
from heli.providers.pricing.price_book import PriceBook
from heli.schema.exchange import Exchange, Outcome, Reach
from heli.schema.usage import CostState
from tests.providers.exchanges import an_exchange, sse

QUESTION = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Name three primes."}]}
OWN_ERROR = {"error": {"message": "heli: no reply", "type": "heli_error", "code": "bad_gateway"}}
THEIR_ERROR = {"error": {"message": "The server had an error", "type": "server_error", "code": None}}
BEGUN = sse({"id": "c-1", "object": "chat.completion.chunk", "choices": [{"delta": {"content": "2, 3"}}]})


def _unanswered(outcome: Outcome, reach: Reach | None, status: int | None) -> Exchange:
    """A call without a reply of the provider; `status` is that of heli's own."""
    reply = OWN_ERROR if status else None
    exchange = an_exchange(QUESTION, reply, status=None, outcome=outcome, reach=reach)
    fields = {name: getattr(exchange, name) for name in exchange.__struct_fields__}
    return Exchange(**fields | {"response_status": status})


def _state(exchange: Exchange, prices: PriceBook) -> CostState:
    return interpret(exchange, prices).cost.state


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.REFUSED, 400),
        (Outcome.UPSTREAM_ERROR, 502),
        (Outcome.TIMEOUT, 504),
        (Outcome.CLIENT_ABORTED, None),
    ],
)
def test_a_call_that_never_went_out_is_free(outcome: Outcome, status: int, prices: PriceBook) -> None:
    assert _state(_unanswered(outcome, Reach.NOT_SENT, status), prices) is CostState.FREE


@pytest.mark.parametrize("reach", [Reach.SENT, None])
@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.UPSTREAM_ERROR, 502),
        (Outcome.TIMEOUT, 504),
        (Outcome.TIMEOUT, None),
        (Outcome.CLIENT_ABORTED, None),
        (Outcome.CLIENT_ABORTED, 400),
        (Outcome.INTERRUPTED, None),
    ],
)
def test_a_call_that_may_have_arrived_costs_nobody_knows_what(
    outcome: Outcome, status: int | None, reach: Reach | None, prices: PriceBook
) -> None:
    found = interpret(_unanswered(outcome, reach, status), prices)

    assert (found.cost.state, found.cost.total_usd) == (CostState.UNKNOWN, None)
    assert "whether it was billed is not known" in found.cost.reason


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 429, 503, 529])
@pytest.mark.parametrize("reach", [Reach.ANSWERED, None])
def test_a_call_that_the_provider_refused_is_free(
    status: int, reach: Reach | None, prices: PriceBook
) -> None:
    assert _state(an_exchange(QUESTION, THEIR_ERROR, status=status, reach=reach), prices) is CostState.FREE


@pytest.mark.parametrize("status", [408, 499, 500, 502, 504, 520, 524])
def test_a_provider_that_failed_may_have_worked(status: int, prices: PriceBook) -> None:
    answered = an_exchange(QUESTION, THEIR_ERROR, status=status, reach=Reach.ANSWERED)
    assert _state(answered, prices) is CostState.UNKNOWN


@pytest.mark.parametrize("outcome", [Outcome.CLIENT_ABORTED, Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT])
def test_a_reply_that_broke_off_is_counted_as_far_as_it_came(outcome: Outcome, prices: PriceBook) -> None:
    stream = an_exchange(
        QUESTION | {"stream": True},
        BEGUN,
        content_type="text/event-stream",
        outcome=outcome,
        reach=Reach.ANSWERED,
    )
    found = interpret(stream, prices)

    assert found.cost.state is CostState.ESTIMATED
    assert found.usage.output_tokens
    assert "broke off" in found.cost.reason


def test_usage_that_was_told_is_priced_whatever_the_status(prices: PriceBook) -> None:
    reply = THEIR_ERROR | {
        "model": "gpt-4o",
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        "choices": [{"message": {"role": "assistant", "content": "2, 3"}, "finish_reason": "error"}],
    }
    found = interpret(an_exchange(QUESTION, reply, status=502, reach=Reach.ANSWERED), prices)

    assert found.cost.state is CostState.EXACT
    assert found.cost.total_usd

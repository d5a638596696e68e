"""What one message used is one request, whichever models had a part in it; each call of a batch is one."""

import json
from decimal import Decimal
from typing import Any

import pytest

from heli.providers.interpretation import interpret
from heli.providers.pricing.price_book import PriceBook
from heli.providers.pricing.price_override import parse_overrides
from heli.schema.usage import Cost
from tests.providers.exchanges import an_exchange

USAGE = {"input_tokens": 100, "output_tokens": 10}
COMPACTION = {"type": "compaction", **USAGE}
ADVISOR = {"type": "advisor_message", "model": "claude-opus-4-7", **USAGE}
DECLINED = {"type": "message", "model": "claude-opus-4-7", **USAGE}
TAKEN_OVER = {"type": "fallback_message", "model": "claude-sonnet-4-5", **USAGE}
PER_REQUEST = """
[[price]]
provider = "ANTHROPIC"
model = "*"
input = 1
output = 1
request = 0.5
"""
MY_MODEL = """
[[price]]
provider = "ANTHROPIC"
model = "my-model"
input = 1
output = 1
"""
TOKENS = Decimal("0.00011")
"""110 tokens at a dollar a million."""
OPUS_TOKENS = Decimal("0.00075")
"""100 tokens at $5 and 10 at $25, as listed."""


def _message(*steps: dict[str, Any]) -> dict[str, Any]:
    usage = {**USAGE, "iterations": list(steps)}
    return {"model": "claude-sonnet-4-5", "content": [], "stop_reason": "end_turn", "usage": usage}


def _cost(message: dict[str, Any], prices: str, model_override: str = "") -> Cost:
    exchange = an_exchange(
        {"model": "claude-sonnet-4-5"}, message, origin="https://api.anthropic.com", path="/v1/messages"
    )
    return interpret(exchange, PriceBook(parse_overrides(prices, "prices.toml")), model_override).cost


def _batch_cost(*messages: dict[str, Any], prices: str, model_override: str = "") -> Cost:
    lines = [
        json.dumps({"custom_id": "a", "result": {"type": "succeeded", "message": message}}) + "\n"
        for message in messages
    ]
    exchange = an_exchange(
        None,
        "".join(lines).encode(),
        method="GET",
        origin="https://api.anthropic.com",
        path="/v1/messages/batches/msgbatch_1/results",
    )
    return interpret(exchange, PriceBook(parse_overrides(prices, "prices.toml")), model_override).cost


def test_the_price_of_a_request_is_paid_once_for_a_message() -> None:
    cost = _cost(_message(COMPACTION, ADVISOR, ADVISOR), PER_REQUEST)

    assert cost.parts_usd["requests"] == Decimal("0.5")
    assert cost.total_usd == Decimal("0.5") + 4 * TOKENS


def test_each_call_of_a_batch_pays_the_price_of_a_request_once() -> None:
    cost = _batch_cost(_message(), _message(COMPACTION, ADVISOR), prices=PER_REQUEST)

    assert cost.parts_usd["requests"] == Decimal("1.0")
    assert cost.total_usd == 1 + 4 * TOKENS


@pytest.mark.parametrize("steps", [(ADVISOR,), (DECLINED, TAKEN_OVER)], ids=["advisor", "declined"])
def test_what_another_model_did_is_not_priced_by_the_override(steps: tuple[dict[str, Any], ...]) -> None:
    cost = _cost(_message(*steps), MY_MODEL, "my-model")

    assert cost.total_usd == TOKENS + OPUS_TOKENS


def test_a_compaction_is_priced_by_the_override() -> None:
    assert _cost(_message(COMPACTION), MY_MODEL, "my-model").total_usd == 2 * TOKENS


def test_the_override_prices_the_calls_of_a_batch_but_not_their_advisors() -> None:
    cost = _batch_cost(_message(COMPACTION), _message(ADVISOR), prices=MY_MODEL, model_override="my-model")

    assert cost.total_usd == 3 * TOKENS + OPUS_TOKENS / 2

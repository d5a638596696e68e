"""What one message used is one request, whichever models had a part in it; each call of a batch is one."""

import json
from decimal import Decimal
from typing import Any

from heli.providers.interpretation import interpret
from heli.providers.pricing.price_book import PriceBook
from heli.providers.pricing.price_override import parse_overrides
from heli.schema.usage import Cost
from tests.providers.exchanges import an_exchange

USAGE = {"input_tokens": 100, "output_tokens": 10}
MESSAGE_STEP = {"type": "message", **USAGE}
COMPACTION = {"type": "compaction", **USAGE}
ADVISOR = {"type": "advisor_message", "model": "claude-opus-4-7", **USAGE}
PER_REQUEST = """
[[price]]
provider = "ANTHROPIC"
model = "*"
input = 1
output = 1
request = 0.5
"""
TOKENS = Decimal("0.00011")
"""110 tokens at a dollar a million."""


def _message(*steps: dict[str, Any]) -> dict[str, Any]:
    usage = {**USAGE, "iterations": [MESSAGE_STEP, *steps]}
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

"""Every recorded call is read as its provider meant it: ledger, cost and the rest, as worked out by hand."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from heli.providers.interpretation import Interpretation, interpret
from heli.providers.pricing.price_book import PriceBook
from heli.schema.usage import CostState
from tests.providers.exchanges import read_recording, recorded

_FILES = recorded()


def _interpreted(file: Path, prices: PriceBook) -> tuple[Interpretation, dict]:
    exchange, expected = read_recording(file)
    return interpret(exchange, prices), expected


@pytest.mark.parametrize("file", _FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
class TestRecording:
    def test_facts(self, file: Path, prices: PriceBook) -> None:
        found, expected = _interpreted(file, prices)
        facts = {name: value for name, value in expected.items() if name in found.__struct_fields__}
        facts.pop("usage", None)

        assert {name: getattr(found, name) for name in facts} == facts
        assert found.interpret_error == expected.get("interpret_error", "")

    def test_ledger(self, file: Path, prices: PriceBook) -> None:
        found, expected = _interpreted(file, prices)
        ledger = msgspec.to_builtins(found.usage)
        told = {name: value for name, value in ledger.items() if value not in (None, {})}

        if found.cost.state is CostState.ESTIMATED and "estimated_usage" in expected:
            assert set(told) == set(expected["estimated_usage"])
        else:
            assert told == expected.get("usage", {})

    def test_ledger_adds_up_to_what_the_provider_told(self, file: Path, prices: PriceBook) -> None:
        found, expected = _interpreted(file, prices)
        totals = {"input": found.usage.total_input_tokens, "output": found.usage.total_output_tokens}

        if "provider_totals" in expected:
            assert totals == {"input": None, "output": None} | expected["provider_totals"]
        else:
            assert found.cost.state is not CostState.EXACT, (
                "a recording with usage tells the provider's totals"
            )

    def test_cost(self, file: Path, prices: PriceBook) -> None:
        found, expected = _interpreted(file, prices)

        assert found.cost.state == expected["cost_state"]
        if found.cost.state is CostState.UNKNOWN:
            assert found.cost.total_usd is None
            assert found.cost.reason
        elif "cost_usd" in expected:
            assert found.cost.total_usd == Decimal(expected["cost_usd"])
        if by_hand := expected.get("cost_by_hand"):
            dollars = sum(Decimal(count) * Decimal(price) for count, price in by_hand) / 1_000_000
            assert found.cost.total_usd == dollars
        if found.cost.parts_usd:
            assert sum(found.cost.parts_usd.values()) == found.cost.total_usd
        assert expected.get("cost_reason", "") in found.cost.reason

"""The operator's own prices go first, and a mistake in the file is named where it stands."""

from decimal import Decimal
from pathlib import Path

import pytest

from heli.providers.pricing.price_book import PriceBook
from heli.providers.pricing.price_override import parse_overrides
from heli.schema.errors import UsageError
from heli.schema.usage import CostState, Usage
from tests.providers.exchanges import NOON

USAGE = Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000, output_tokens=1_000_000)

FILE = """
same_prices = { "https://llm.corp.example" = "OPENAI" }

[[price]]
provider = "OPENAI"
model = "gpt-4o*"
input = 1.10
output = "4.4000"

[[price]]
provider = "OPENAI"
model = "gpt-4o-mini"
from = 2026-11-01
input = 0.10
cache_read = 0.01
output = 0.40
request = 0.001
tools = { web_search = 0.02 }
above = [{ input_tokens = 2000000, input = 0.20, cache_read = 0.02, output = 0.80 }]

[[price]]
provider = "OPENAI"
model = "gpt-4o-mini"
tier = "flex"
input = 0.05
output = 0.20

[[price]]
provider = "http://10.*"
model = "*"
free = true
"""


WIDE = """
[[price]]
provider = "OPENAI"
model = "*"
input = 100
output = 100

[[price]]
provider = "OPENAI"
model = "gpt-4o-mini"
input = 1
output = 1
"""


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    return _book(tmp_path, FILE)


def _book(folder: Path, text: str) -> PriceBook:
    file = folder / "prices.toml"
    file.write_text(text)
    return PriceBook.load(file)


def test_an_override_goes_before_the_table(book: PriceBook) -> None:
    cost = book.price("OPENAI", "gpt-4o", USAGE, NOON)

    assert (cost.state, cost.price_source) == (CostState.EXACT, "override")
    assert cost.total_usd == Decimal("1.10") * 2 + Decimal("4.4")  # cached input at the price of input


def test_the_last_entry_that_matches_counts(book: PriceBook) -> None:
    cost = book.price("OPENAI", "GPT-4o-mini", USAGE, NOON)

    assert cost.total_usd == Decimal("0.511")
    assert cost.parts_usd["requests"] == Decimal("0.001")


def test_an_entry_holds_from_its_first_day(book: PriceBook) -> None:
    cost = book.price("OPENAI", "gpt-4o-mini", USAGE, NOON.replace(year=2025))

    assert cost.total_usd == Decimal("6.6")


def test_an_entry_for_a_tier_holds_for_that_tier_only(book: PriceBook) -> None:
    assert book.price("OPENAI", "gpt-4o-mini", USAGE, NOON, tier="flex").total_usd == Decimal("0.3")


def test_a_large_request_costs_its_level_for_all_of_it(book: PriceBook) -> None:
    usage = Usage(input_tokens=1_000_001, cache_read_tokens=1_000_000)

    cost = book.price("OPENAI", "gpt-4o-mini", usage, NOON)

    assert cost.total_usd == Decimal("0.2000002") + Decimal("0.02") + Decimal("0.001")


def test_tools_are_priced_by_use(book: PriceBook) -> None:
    usage = Usage(input_tokens=0, server_tool_uses={"web_search": 3})

    cost = book.price("OPENAI", "gpt-4o-mini", usage, NOON)

    assert cost.parts_usd["server_tool_uses.web_search"] == Decimal("0.06")


def test_a_model_can_be_free(book: PriceBook) -> None:
    cost = book.price("http://10.0.0.7:8000", "anything", USAGE, NOON)

    assert (cost.state, cost.total_usd, cost.price_source) == (CostState.FREE, Decimal(0), "override")


def test_a_host_can_have_the_prices_of_another(book: PriceBook) -> None:
    cost = book.price("https://llm.corp.example", "gpt-4.1", USAGE, NOON)

    assert cost.total_usd == Decimal("10.5")


def test_an_override_is_believed_more_than_the_provider(book: PriceBook) -> None:
    cost = book.price("OPENAI", "gpt-4o", USAGE, NOON, reported_usd=Decimal(9))

    assert cost.price_source == "override"


def test_a_missing_file_is_no_override(tmp_path: Path) -> None:
    book = PriceBook.load(tmp_path / "none.toml")

    assert book.price("OPENAI", "gpt-4o", USAGE, NOON).price_source.startswith("genai-prices")


HEAD = '[[price]]\nprovider = "A"\nmodel = "m"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[price]", "line 1"),
        ("prices = 1", "unknown field 'prices'"),
        ("price = 1", "price must be written as [[price]]"),
        ("same_prices = 1", "same_prices must be a table"),
        ('[[price]]\nmodel = "m"\ninput = 1', "price[1].provider must be a text"),
        (HEAD, "price[1] has no price"),
        (HEAD + "input = -1", "price[1].input must be a price in dollars, not -1"),
        (HEAD + 'input = "cheap"', "price[1].input must be a price in dollars, not 'cheap'"),
        (HEAD + "input = true", "price[1].input"),
        (HEAD + "inputs = 1", "price[1] has an unknown field 'inputs'"),
        (HEAD + 'input = 1\nfrom = "May"', "price[1].from must be a date"),
        (HEAD + "input = 1\n" + HEAD + 'free = "yes"', "price[2].free must be true or false"),
        (
            HEAD + "input = 1\nabove = [{ input = 1 }]",
            "price[1].above[1].input_tokens must be a whole number",
        ),
        (HEAD + "tools = 1", "price[1].tools must be a table"),
        (HEAD + "input = inf", "price[1].input"),
    ],
)
def test_a_mistake_names_the_file_and_the_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        _book(tmp_path, text)

    assert str(tmp_path / "prices.toml") in raised.value.message
    assert told in raised.value.message


def test_units_are_priced_by_the_piece() -> None:
    text = """
    [[price]]
    provider = "COHERE"
    model = "*"
    tools = { search_units = 0.002, audio_seconds = 0.0001, characters = 0.000015, citation_tokens = 2e-6 }
    """
    book = PriceBook(parse_overrides(text, "prices.toml"))
    uses = {"search_units": 3, "audio_seconds": 60, "characters": 1000, "citation_tokens": 500}

    cost = book.price("COHERE", "rerank-v3.5", Usage(server_tool_uses=uses), NOON)

    assert {name.removeprefix("server_tool_uses."): part for name, part in cost.parts_usd.items()} == {
        "search_units": Decimal("0.006"),
        "audio_seconds": Decimal("0.006"),
        "characters": Decimal("0.015"),
        "citation_tokens": Decimal("0.001"),
    }


def test_of_two_files_the_later_counts_where_both_fit() -> None:
    first = '[[price]]\nprovider = "OPENAI"\nmodel = "*"\ninput = 1\noutput = 1\n'
    later = '[[price]]\nprovider = "OPENAI"\nmodel = "gpt-4o*"\ninput = 2\noutput = 2\n'
    both = parse_overrides(first, "a.toml").before(parse_overrides(later, "b.toml", source="table b.toml"))
    usage = Usage(input_tokens=1_000_000)

    costs = [PriceBook(both).price("OPENAI", model, usage, NOON) for model in ("gpt-4o", "o3")]

    assert [(cost.total_usd, cost.price_source) for cost in costs] == [(2, "table b.toml"), (1, "override")]


def test_a_name_that_a_call_lacks_fits_no_entry(tmp_path: Path) -> None:
    cost = _book(tmp_path, WIDE).price("OPENAI", ["", "gpt-4o-mini"], Usage(input_tokens=1_000_000), NOON)

    assert cost.total_usd == 1


def test_a_call_that_names_no_model_has_the_price_of_any(tmp_path: Path) -> None:
    cost = _book(tmp_path, WIDE).price("OPENAI", ["", ""], Usage(input_tokens=1_000_000), NOON)

    assert cost.total_usd == 100


def test_an_entry_for_the_name_that_was_asked_for_goes_before_the_table(book: PriceBook) -> None:
    names = ["gpt-4o-2024-11-20", "gpt-4o-mini"]  # the reply's, which `gpt-4o*` fits, too
    deployed = ["gpt-5-2025-08-07", "gpt-4o-mini"]  # the reply's, which the table knows

    found = [book.price("OPENAI", each, USAGE, NOON) for each in (names, deployed)]

    assert [cost.total_usd for cost in found] == [Decimal("6.60"), Decimal("0.511")]

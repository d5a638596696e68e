"""What a ledger comes to: exactly, at the right time, and never zero for want of knowing."""

import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.providers.pricing.price_book import PriceBook
from heli.providers.pricing.price_override import PriceOverrides
from heli.providers.pricing.price_table import PROVIDER_IDS, PriceTable
from heli.providers.pricing.rates import TOKEN_FIELDS
from heli.providers.pricing.summed import sum_costs
from heli.providers.recognition import recognise
from heli.schema.usage import Cost, CostState, Usage
from tests.providers.exchanges import NOON, an_exchange

USAGE = Usage(input_tokens=1_000_000, output_tokens=1_000_000)


def test_a_million_tokens_cost_the_listed_price(prices: PriceBook) -> None:
    cost = prices.price("OPENAI", "gpt-4o-mini", USAGE, NOON)

    assert cost.state is CostState.EXACT
    assert cost.parts_usd == {"input_tokens": Decimal("0.15"), "output_tokens": Decimal("0.6")}
    assert cost.price_source.startswith("genai-prices ")
    assert cost.price_date == NOON.date()


@given(
    counts=st.fixed_dictionaries({name: st.none() | st.integers(0, 10**9) for name in TOKEN_FIELDS}),
    model=st.sampled_from(["gpt-4o-mini", "gpt-realtime", "gpt-5", "nobody-knows"]),
    factor=st.sampled_from([Decimal(1), Decimal("1.1")]),
)
def test_the_parts_always_add_up(
    prices: PriceBook, counts: dict[str, int | None], model: str, factor: Decimal
) -> None:
    usage = Usage(**counts)  # type: ignore[arg-type]

    cost = prices.price("OPENAI", model, usage, NOON, factor=factor)

    assert (cost.total_usd is None) == (cost.state is CostState.UNKNOWN)
    if cost.total_usd is not None:
        assert sum(cost.parts_usd.values()) == cost.total_usd
        assert cost.total_usd >= 0
        assert set(cost.parts_usd) == {name for name in TOKEN_FIELDS if counts[name]}


def test_the_price_of_the_day_counts(prices: PriceBook) -> None:
    before = datetime.datetime(2025, 6, 9, 23, 59, tzinfo=datetime.UTC)
    after = datetime.datetime(2025, 6, 10, 0, 0, tzinfo=datetime.UTC)

    found = [prices.price("OPENAI", "o3", USAGE, when).total_usd for when in (before, after)]

    assert found == [Decimal(50), Decimal(10)]


def test_the_time_of_day_counts_where_it_decides(prices: PriceBook) -> None:
    day = datetime.datetime(2025, 4, 1, 16, 29, tzinfo=datetime.UTC)

    found = [
        prices.price("DEEPSEEK", "deepseek-chat", USAGE, when).total_usd
        for when in (day, day + datetime.timedelta(minutes=1), day)
    ]

    assert found == [Decimal("1.37"), Decimal("0.685"), Decimal("1.37")]


def test_a_time_in_another_zone_is_the_same_moment(prices: PriceBook) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=-8))
    late = datetime.datetime(2025, 6, 9, 23, tzinfo=zone)  # 10 June in UTC

    assert prices.price("OPENAI", "o3", USAGE, late).price_date == datetime.date(2025, 6, 10)


def test_the_first_name_with_a_price_counts(prices: PriceBook) -> None:
    cost = prices.price("OPENAI", ["", "my-deployment", "gpt-4o-mini", "gpt-4o"], USAGE, NOON)

    assert cost.total_usd == Decimal("0.75")


def test_no_usage_is_unknown(prices: PriceBook) -> None:
    cost = prices.price("OPENAI", "gpt-4o", Usage(), NOON)

    assert (cost.state, cost.total_usd) == (CostState.UNKNOWN, None)
    assert cost.reason == "the provider reported no usage"


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("OPENAI", "gpt-99", "no price for gpt-99 at OPENAI"),
        ("https://llm.corp.example", "gpt-4o", "no price for gpt-4o at https://llm.corp.example"),
        ("OPENAI", "", "the model is not known"),
    ],
)
def test_no_price_is_unknown(prices: PriceBook, provider: str, model: str, reason: str) -> None:
    cost = prices.price(provider, model, USAGE, NOON)

    assert (cost.state, cost.total_usd, cost.reason) == (CostState.UNKNOWN, None, reason)


def test_a_host_that_only_the_table_knows_is_priced(prices: PriceBook) -> None:
    cost = prices.price("https://api.z.ai", "glm-4.6", USAGE, NOON)

    assert cost.state is CostState.EXACT


def test_a_surcharge_is_on_tokens_and_not_on_uses(prices: PriceBook) -> None:
    usage = Usage(input_tokens=1_000_000, server_tool_uses={"web_search": 1})

    cost = prices.price("ANTHROPIC", "claude-opus-4-6", usage, NOON, factor=Decimal("1.1"))

    assert cost.parts_usd == {
        "input_tokens": Decimal("5.5"),
        "server_tool_uses.web_search": Decimal("0.01"),
    }


def test_a_looked_up_price_is_remembered() -> None:
    class CountingTable(PriceTable):
        looked_up = 0

        def find(self, provider: str, model: str):  # type: ignore[no-untyped-def]
            self.looked_up += 1
            return super().find(provider, model)

    table = CountingTable()
    book = PriceBook(PriceOverrides(), table)

    for _ in range(3):
        book.price("OPENAI", "gpt-4o", USAGE, NOON)

    assert table.looked_up == 1


def test_every_priced_provider_is_one_that_heli_recognises() -> None:
    table_ids = {provider.id for provider in PriceTable()._snapshot.providers}

    assert set(PROVIDER_IDS.values()) <= table_ids
    assert recognise(an_exchange(origin="https://api.x.ai")).provider in PROVIDER_IDS


def test_all_of_a_ledger_costs_what_the_table_says_itself(prices: PriceBook) -> None:
    """The table's own sums, from inclusive counts, agree with heli's from disjoint ones."""
    from genai_prices import Usage as InclusiveUsage
    from genai_prices import calc_price

    usage = Usage(
        input_tokens=1_111,
        cache_read_tokens=2_222,
        cache_write_5m_tokens=3_333,
        cache_write_1h_tokens=4_444,
        output_tokens=555,
        reasoning_tokens=666,
    )
    inclusive = InclusiveUsage(
        input_tokens=usage.total_input_tokens,
        cache_read_tokens=2_222,
        cache_write_tokens=7_777,
        cache_write_5m_tokens=3_333,
        cache_write_1h_tokens=4_444,
        output_tokens=usage.total_output_tokens,
        output_reasoning_tokens=666,
    )

    for model in ("claude-sonnet-4-5", "claude-opus-4-1", "claude-haiku-4-5", "claude-3-5-haiku-latest"):
        theirs = calc_price(inclusive, model, provider_id="anthropic", genai_request_timestamp=NOON)
        assert prices.price("ANTHROPIC", model, usage, NOON).total_usd == theirs.total_price


def test_seconds_and_characters_and_pages_are_priced_as_listed(prices: PriceBook) -> None:
    for provider, model, unit, count, dollars in (
        ("OPENAI", "whisper-1", "audio_seconds", 3600, "0.36"),
        ("OPENAI", "tts-1-hd", "characters", 1_000_000, "30"),
        ("MISTRAL", "mistral-ocr-2505", "pages", 1000, "1"),
        ("MISTRAL", "mistral-ocr-2505", "annotated_pages", 1000, "3"),
    ):
        cost = prices.price(provider, model, Usage(server_tool_uses={unit: count}), NOON)

        assert (cost.state, cost.total_usd) == (CostState.EXACT, Decimal(dollars))


def test_units_without_a_price_are_unknown_and_never_nothing(prices: PriceBook) -> None:
    usage = Usage(input_tokens=5, server_tool_uses={"audio_seconds": 9})

    cost = prices.price("OPENAI", "gpt-4o-mini", usage, NOON)

    assert (cost.state, cost.total_usd) == (CostState.UNKNOWN, None)
    assert cost.reason == "no price for audio seconds"


def test_the_prices_of_one_day_can_count_for_all_calls() -> None:
    before, after = datetime.date(2026, 8, 1), datetime.date(2026, 9, 1)
    usage = Usage(output_tokens=1_000_000)

    costs = [
        PriceBook(day=day).price("MISTRAL", "voxtral-small-24b-2507", usage, NOON) for day in (before, after)
    ]

    assert [cost.total_usd for cost in costs] == [Decimal("0.3"), Decimal("0.4")]
    assert [cost.price_date for cost in costs] == [before, after]


def test_a_sum_is_as_certain_as_its_least_certain_part() -> None:
    day = datetime.date(2026, 11, 2)
    exact = Cost(state=CostState.EXACT, total_usd=Decimal(1), parts_usd={"input_tokens": Decimal(1)})
    guess = Cost(
        state=CostState.ESTIMATED, total_usd=Decimal(2), parts_usd={"input_tokens": Decimal(2)}, reason="x"
    )
    unknown = Cost(state=CostState.UNKNOWN, reason="y")

    assert sum_costs([exact, exact], day).state is CostState.EXACT
    both = sum_costs([exact, guess, guess], day)
    assert (both.state, both.total_usd, both.parts_usd, both.reason) == (
        CostState.ESTIMATED,
        Decimal(5),
        {"input_tokens": Decimal(5)},
        "x",
    )
    assert (sum_costs([exact, unknown], day).total_usd, sum_costs([exact, unknown], day).reason) == (
        None,
        "y",
    )
    assert sum_costs([], day).state is CostState.UNKNOWN

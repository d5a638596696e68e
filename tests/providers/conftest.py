import pytest

from heli.providers.pricing.price_book import PriceBook


@pytest.fixture(scope="session")
def prices() -> PriceBook:
    """The table that heli ships with, without overrides."""
    return PriceBook.load()

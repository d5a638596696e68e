"""The operator's own price file: where it is, and whether it will do."""

from pathlib import Path

from heli.providers.pricing.price_override import PriceOverrides, read_overrides
from heli.schema.errors import UsageError
from heli.schema.settings import Loaded


def own_prices_file(loaded: Loaded) -> Path:
    """It need not be there, unless a setting names it."""
    override = loaded.settings.prices.override_file
    return loaded.paths.config.joinpath(override) if override else loaded.paths.prices_file


def read_own_prices(loaded: Loaded) -> PriceOverrides:
    """What it says now. Raises `UsageError` when it is wrong."""
    file = own_prices_file(loaded)
    return read_overrides(file) if file.exists() else PriceOverrides()


def check_own_prices(loaded: Loaded) -> None:
    """Raises `UsageError` when the file is wrong, or named by a setting and not there."""
    file = own_prices_file(loaded)
    if file.exists():
        read_overrides(file)
    elif loaded.settings.prices.override_file:
        raise UsageError(
            f"there is no price file {file}, which prices.override_file names",
            "correct the setting, or make the file (docs/prices.md shows its form)",
        )

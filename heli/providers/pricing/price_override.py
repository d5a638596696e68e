"""Prices from the operator's own TOML file, which go before the table that heli ships with.

    same_prices = { "https://llm.corp.example" = "OPENAI" }   # a host that resells at another's prices

    [[price]]
    provider = "OPENAI"          # as heli shows it, or an origin; * stands for anything
    model = "gpt-4o-mini*"
    from = 2026-01-01            # the first day, UTC; always, when left out
    tier = "flex"                # only for this service tier; any, when left out
    input = 0.15                 # dollars per million tokens
    cache_read = 0.075
    output = 0.60
    request = 0.001              # dollars per request
    tools = { web_search = 0.01 }                                   # dollars per use
    above = [{ input_tokens = 200000, input = 0.30, output = 1.20 }]  # for the whole of a larger request

    [[price]]
    provider = "https://gpu.corp.example"
    model = "*"
    free = true

Numbers may be written as text to keep every digit in sight. Of several entries that match, the last one
counts. A part of a ledger without a price of its own takes that of `input` or `output`.
"""

import datetime
import fnmatch
import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from heli.providers.pricing.rates import Rate, Rates, unit_size
from heli.schema.errors import UsageError

SOURCE = "override"

_TOKEN_KEYS = {
    "input": ("input_tokens", "input"),
    "cache_read": ("cache_read_tokens", "input"),
    "cache_write_5m": ("cache_write_5m_tokens", "input"),
    "cache_write_1h": ("cache_write_1h_tokens", "input"),
    "input_audio": ("input_audio_tokens", "input"),
    "input_image": ("input_image_tokens", "input"),
    "cache_read_audio": ("cache_read_audio_tokens", "cache_read"),
    "output": ("output_tokens", "output"),
    "reasoning": ("reasoning_tokens", "output"),
    "output_audio": ("output_audio_tokens", "output"),
    "output_image": ("output_image_tokens", "output"),
}
"""`{key: (ledger field, the key whose price stands in)}`."""

_ENTRY_KEYS = {"provider", "model", "from", "tier", "free", "request", "tools", "above", *_TOKEN_KEYS}
_MAX_PRICE = Decimal(1_000_000)


class PriceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[price]]` of the file."""

    provider: str
    model: str
    since: datetime.date | None
    tier: str | None
    rates: Rates

    def applies(self, provider: str, model: str, tier: str, day: datetime.date) -> bool:
        return (
            (self.since is None or self.since <= day)
            and (self.tier is None or self.tier == tier)
            and fnmatch.fnmatchcase(provider.lower(), self.provider)
            and fnmatch.fnmatchcase(model.lower(), self.model)
        )


class PriceOverrides(msgspec.Struct, frozen=True):
    """The whole file."""

    entries: tuple[PriceEntry, ...] = ()
    same_prices: dict[str, str] = {}

    def before(self, later: "PriceOverrides") -> "PriceOverrides":
        """Both files as one; where entries of both fit, those of `later` count."""
        return PriceOverrides((*self.entries, *later.entries), {**self.same_prices, **later.same_prices})

    def find(self, provider: str, model: str, tier: str, day: datetime.date) -> Rates | None:
        for entry in reversed(self.entries):
            if entry.applies(provider, model, tier, day):
                return entry.rates
        return None


HINT = "mend the file, or move it away; docs/prices.md shows one"


def read_overrides(file: Path) -> PriceOverrides:
    """Raises `UsageError` that names the file and the line or the field."""
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the price file {file}: {error.strerror}", HINT) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the price file {file} is not TOML: {error}", HINT) from error
    return parse_overrides(text, str(file))


def parse_overrides(text: str, name: str, source: str = SOURCE) -> PriceOverrides:
    """The file's text; `name` is what errors call it, `source` what costs say that they come from."""
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the price file {name} is not TOML: {error}", HINT) from error
    reader = _Reader(name, source)
    reader.refuse_unknown(content, {"price", "same_prices"}, "the file")
    entries = content.get("price", [])
    if not isinstance(entries, list):
        raise reader.error("price", "must be written as [[price]]")
    return PriceOverrides(
        tuple(reader.entry(entry, f"price[{number}]") for number, entry in enumerate(entries, 1)),
        reader.same_prices(content.get("same_prices", {})),
    )


class _Reader:
    """Checks the file's values and says where one is wrong."""

    def __init__(self, file: str, source: str) -> None:
        self._file = file
        self._source = source

    def error(self, where: str, what: str, hint: str = "") -> UsageError:
        return UsageError(f"{self._file}: {where} {what}", hint)

    def refuse_unknown(self, table: Any, known: set[str], where: str) -> None:
        if not isinstance(table, dict):
            raise self.error(where, "must be a table")
        for key in table:
            if key not in known:
                raise self.error(
                    where, f"has an unknown field {key!r}", f"known are {', '.join(sorted(known))}"
                )

    def same_prices(self, table: Any) -> dict[str, str]:
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise self.error("same_prices", 'must be a table of texts, { "https://host" = "OPENAI" }')
        return {key.lower(): value.upper() for key, value in table.items()}

    def entry(self, table: Any, where: str) -> PriceEntry:
        self.refuse_unknown(table, _ENTRY_KEYS, where)
        since = table.get("from")
        if since is not None and type(since) is not datetime.date:
            raise self.error(f"{where}.from", "must be a date such as 2026-01-01")
        tier = table.get("tier")
        return PriceEntry(
            provider=self._text(table, "provider", where),
            model=self._text(table, "model", where),
            since=since,
            tier=None if tier is None else self._text(table, "tier", where),
            rates=self._rates(table, where),
        )

    def _text(self, table: dict[str, Any], key: str, where: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value:
            raise self.error(f"{where}.{key}", "must be a text")
        return value.lower()

    def _rates(self, table: dict[str, Any], where: str) -> Rates:
        if table.get("free") is True:
            return Rates(source=self._source, is_free=True)
        if table.get("free") not in (None, False):
            raise self.error(f"{where}.free", "must be true or false")
        if not any(key in table for key in (*_TOKEN_KEYS, "request", "tools")):
            raise self.error(where, "has no price", "give `input` and `output`, or `free = true`")
        tools = table.get("tools", {})
        if not isinstance(tools, dict):
            raise self.error(f"{where}.tools", "must be a table such as { web_search = 0.01 }")
        return Rates(
            source=self._source,
            tokens=self._token_rates(table, where),
            tools={
                tool: Rate(self._price(tools, tool, f"{where}.tools") * unit_size(tool)) for tool in tools
            },
            request=Rate(self._price(table, "request", where).scaleb(3)) if "request" in table else None,
        )

    def _token_rates(self, table: dict[str, Any], where: str) -> dict[str, Rate]:
        levels = self._levels(table, where)
        base = self._token_prices(table, where)
        rates: dict[str, Rate] = {}
        for key, (field, stand_in) in _TOKEN_KEYS.items():
            chosen = next((name for name in (key, stand_in, _TOKEN_KEYS[stand_in][1]) if name in base), None)
            if chosen:
                tiers = tuple((start, prices[chosen]) for start, prices in levels if chosen in prices)
                rates[field] = Rate(base[chosen], tiers)
        return rates

    def _levels(self, table: dict[str, Any], where: str) -> list[tuple[int, dict[str, Decimal]]]:
        above = table.get("above", [])
        if not isinstance(above, list):
            raise self.error(f"{where}.above", "must be a list of tables")
        levels = []
        for number, level in enumerate(above, 1):
            place = f"{where}.above[{number}]"
            self.refuse_unknown(level, {"input_tokens", *_TOKEN_KEYS}, place)
            start = level.get("input_tokens")
            if type(start) is not int or start < 0:
                raise self.error(f"{place}.input_tokens", "must be a whole number")
            levels.append((start, self._token_prices(level, place)))
        return sorted(levels, key=lambda level: level[0])

    def _token_prices(self, table: dict[str, Any], where: str) -> dict[str, Decimal]:
        return {key: self._price(table, key, where) for key in _TOKEN_KEYS if key in table}

    def _price(self, table: dict[str, Any], key: str, where: str) -> Decimal:
        value = table[key]
        try:
            price = Decimal(value) if isinstance(value, str | int | Decimal) else None
        except InvalidOperation:
            price = None
        if price is None or isinstance(value, bool) or not price.is_finite() or not 0 <= price <= _MAX_PRICE:
            raise self.error(f"{where}.{key}", f"must be a price in dollars, not {value!r}")
        return price

"""The public price table that heli ships with (`genai-prices`), read as rates for heli's ledger.

Its own counts include their parts (input includes cache reads) while heli's are disjoint, so only its prices
are used, never its sums: each ledger field takes the price of the closest unit that the model is priced by.
"""

import datetime
import importlib.metadata
import re
from typing import Any

from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices, TimeOfDateConstraint

from heli.providers.pricing.rates import Rate, Rates

SOURCE = f"genai-prices {importlib.metadata.version('genai-prices')}"

PROVIDER_IDS = {
    "OPENAI": "openai",
    "ANTHROPIC": "anthropic",
    "AZURE": "azure",
    "GOOGLE": "google",
    "BEDROCK": "aws",
    "AWS": "aws",
    "TOGETHER": "together",
    "GROQ": "groq",
    "MISTRAL": "mistral",
    "DEEPSEEK": "deepseek",
    "FIREWORKS": "fireworks",
    "PERPLEXITY": "perplexity",
    "OPENROUTER": "openrouter",
    "CEREBRAS": "cerebras",
    "NOVITA": "novita",
    "X": "x-ai",
    "COHERE": "cohere",
    "CLOUDFLARE": "cloudflare",
    "BASETEN": "baseten",
    "AVIAN": "avian",
    "MOONSHOT": "moonshotai",
    "COPILOT": "github-copilot",
    "VOYAGE": "voyageai",
    "MINIMAX": "minimax",
    "ZAI": "zai",
    "ZHIPU": "zhipuai",
}
"""`{heli's name: the table's}`."""

_TOKEN_PRICES = {
    "input_tokens": ("input_text_mtok", "input_mtok"),
    "cache_read_tokens": ("cache_read_mtok", "cache_text_read_mtok", "input_mtok"),
    "cache_write_5m_tokens": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h_tokens": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "input_audio_tokens": ("input_audio_mtok", "input_mtok"),
    "input_image_tokens": ("input_image_mtok", "input_mtok"),
    "cache_read_audio_tokens": ("cache_audio_read_mtok", "cache_read_mtok", "input_audio_mtok", "input_mtok"),
    "output_tokens": ("output_text_mtok", "output_mtok"),
    "reasoning_tokens": ("output_reasoning_mtok", "output_mtok"),
    "output_audio_tokens": ("output_audio_mtok", "output_mtok"),
    "output_image_tokens": ("output_image_mtok", "output_mtok"),
}
"""`{ledger field: price keys, the closest first}`."""

_OWN_KEYS = {"cache_write_1h_tokens": 1}
"""How many of a field's keys are its own, where that is not all but the last."""

_TOOL_PRICES = {
    "web_search": "web_searches_kcount",
    "x_search": "social_searches_kcount",
    "file_search": "storage_searches_kcount",
    "code_execution": "code_executions_kcount",
    "citation_tokens": "output_citation_mtok",
    "audio_seconds": "audio_hours",
    "characters": "input_mchars",
    "pages": "input_document_kpages",
    "annotated_pages": "input_annotated_document_kpages",
}

_AUDIO_COSTS_AS_TEXT = frozenset({"google"})
"""Where a model without an audio price takes audio at the price of text."""

_SOLD_ONLY = (
    *(
        (prefix, "OPENAI")
        for prefix in ("gpt-3.5", "gpt-4", "gpt-5", "chatgpt-", "o1", "o3", "o4", "text-emb")
    ),
    ("claude-", "ANTHROPIC"),
    ("gemini-", "GOOGLE"),
)
"""`(how a model's name begins, who sells it)` for models whose weights nobody can have."""

_STANDARD_TIERS = frozenset({"", "auto", "default", "standard", "on_demand", "on-demand", "standard_only"})


class PriceTable:
    """Looks prices up; matching a model's name is slow, so callers keep what they got."""

    def __init__(self, snapshot: DataSnapshot | None = None) -> None:
        self._snapshot = snapshot or get_snapshot()
        self._by_id = {provider.id: provider for provider in self._snapshot.providers}

    def find(self, provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
        """The table's entry for a model at a provider; `None` when it has none."""
        seller = self._find_provider(provider)
        if seller is None or not model:
            return None
        found = seller.find_model(model, all_providers=self._snapshot.providers)
        return (seller, found) if found else None

    def has_paid_model(self, model: str) -> bool:
        """Whether a model of this name is only sold, never given away to be run on one's own machine."""
        vendor = next((vendor for prefix, vendor in _SOLD_ONLY if model.startswith(prefix)), "")
        return self.find(vendor, model) is not None

    def rates(
        self, seller: Provider, model: ModelInfo, when: datetime.datetime, tier: str = "", speed: str = ""
    ) -> Rates:
        """The prices in force at `when`; a tier or speed that the table does not know is told as a doubt."""
        context = _price_context(tier, speed)
        # A model found through another provider's list has that provider's variants, which do not apply.
        is_own_model = any(each is model for each in seller.models)
        prices = model.get_prices(when, context if is_own_model else None)
        doubt = ""
        if context and not (is_own_model and _has_variant(model, context, when)):
            doubt = f"no prices listed for {' '.join(context.values())}: standard prices used"
        return _as_rates(prices, seller.id, model.id, doubt)

    def _find_provider(self, provider: str) -> Provider | None:
        if "://" not in provider:
            return self._by_id.get(PROVIDER_IDS.get(provider, ""))
        url = provider + "/"
        return next((each for each in self._snapshot.providers if re.match(each.api_pattern, url)), None)


def changes_within_day(model: ModelInfo) -> bool:
    """Whether the time of day decides the price."""
    return isinstance(model.prices, list) and any(
        isinstance(each.constraint, TimeOfDateConstraint) for each in model.prices
    )


def _price_context(tier: str, speed: str) -> dict[str, str]:
    """The table's words for what was bought beyond the standard service."""
    tier = tier.lower()
    context = {}
    if tier == "batch":
        context["processing"] = "batch"
    elif tier not in _STANDARD_TIERS:
        context["service_tier"] = tier
    if speed and speed != "standard":
        context["speed"] = speed
    return context


def _has_variant(model: ModelInfo, context: dict[str, str], when: datetime.datetime) -> bool:
    return any(
        (variant.constraint is None or variant.constraint.active(when))
        and all(context.get(key) == value for key, value in variant.when.items())
        for variant in model.price_variants or ()
    )


def _as_rates(prices: ModelPrice, seller: str, model: str, doubt: str) -> Rates:
    listed: dict[str, Any] = {key: value for key, value in prices.__dict__.items() if value is not None}
    tokens: dict[str, Rate] = {}
    for field, keys in _TOKEN_PRICES.items():
        key = next((key for key in keys if key in listed), None)
        if key is not None:
            is_own = key not in keys[_OWN_KEYS.get(field, -1) :]
            is_own = is_own or ("audio" in field and seller in _AUDIO_COSTS_AS_TEXT)
            # A model that only speaks has its price of audio as that of its output.
            is_own = is_own or (field == "output_audio_tokens" and "tts" in model)
            tokens[field] = _rate(listed[key], is_own)
    return Rates(
        source=SOURCE,
        tokens=tokens,
        tools={tool: _rate(listed[key]) for tool, key in _TOOL_PRICES.items() if key in listed},
        request=_rate(listed["requests_kcount"]) if "requests_kcount" in listed else None,
        doubt=doubt,
    )


def _rate(price: Any, is_own: bool = True) -> Rate:
    if isinstance(price, TieredPrices):
        return Rate(price.base, tuple((tier.start, tier.price) for tier in price.tiers), is_own)
    return Rate(price, (), is_own)

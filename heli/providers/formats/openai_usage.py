"""Usage as OpenAI and the hosts that speak its format report it.

`prompt_tokens` includes what was cached and `completion_tokens` what was reasoned, except where the table
below or the host's own `total_tokens` says otherwise. Sources: the hosts' API references and the extractors
of `genai-prices`.
"""

from decimal import Decimal
from typing import Annotated

import msgspec

from heli.providers.json_values import MAX_COUNT, Json, as_count, as_dict, as_list, field
from heli.providers.usage_ledger import minus, positive, split_totals
from heli.schema.usage import Usage

type _Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)] | None

_REASONING_OUTSIDE = frozenset({"PERPLEXITY", "X"})
"""Hosts whose `completion_tokens` do not include reasoning."""
_TOTAL_TELLS = frozenset({"X"})
"""Those of them whose `total_tokens` includes it, so that the total has the last word."""

_XAI_TICKS = Decimal(10) ** 10
"""xAI reports a cost in ticks, this many to a dollar (docs.x.ai, Cost Tracking)."""


class _Details(msgspec.Struct, frozen=True, gc=False):
    """What a total is made of."""

    cached_tokens: _Count = None
    cache_read_input_tokens: _Count = None
    cache_write_tokens: _Count = None
    cache_creation_tokens: _Count = None
    audio_tokens: _Count = None
    image_tokens: _Count = None
    reasoning_tokens: _Count = None
    cached_tokens_details: "_Details | None" = None


class _ToolUse(msgspec.Struct, frozen=True, gc=False):
    web_search_requests: _Count = None


class _Reported(msgspec.Struct, frozen=True, gc=False):
    """All that some host tells under these names."""

    prompt_tokens: _Count = None
    input_tokens: _Count = None
    completion_tokens: _Count = None
    output_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    reasoning_tokens: _Count = None
    prompt_cache_hit_tokens: _Count = None
    cached_tokens: _Count = None
    cache_read_input_tokens: _Count = None
    num_search_queries: _Count = None
    prompt_audio_seconds: _Count = None
    citation_tokens: _Count = None
    server_tool_use: _ToolUse | None = None


_NOTHING = _Details()
_OBJECTS = frozenset(name for name in _Reported.__struct_fields__ if name.endswith(("_details", "_use"))) | {
    "cached_tokens_details"
}


def _as_reported(usage: dict[str, Json]) -> _Reported:
    try:
        return msgspec.convert(usage, _Reported)
    except msgspec.ValidationError:
        return msgspec.convert(_only_counts(usage), _Reported)


def _only_counts(usage: Json) -> dict[str, Json]:
    """The object without the fields that do not hold what they should."""
    kept = {
        name: _only_counts(value) if name in _OBJECTS else as_count(value)
        for name, value in as_dict(usage).items()
    }
    return {name: value for name, value in kept.items() if value is not None}


def _first(*counts: int | None) -> int | None:
    for count in counts:
        if count is not None:
            return count
    return None


def read_usage(usage: Json, provider: str) -> Usage:
    """A ledger from the usage object of chat, completions, embeddings or responses."""
    if not as_dict(usage):
        return Usage()
    told = _as_reported(usage)
    inputs = _either(told.prompt_tokens_details, told.input_tokens_details)
    outputs = _either(told.completion_tokens_details, told.output_tokens_details)
    total_input = _first(told.prompt_tokens, told.input_tokens)
    total_output, reasoning = _place_reasoning(told, outputs, provider, total_input)
    cache_read = _cache_read(told, inputs)
    cached_audio = positive((inputs.cached_tokens_details or _NOTHING).audio_tokens)
    return split_totals(
        total_input=total_input,
        total_output=total_output,
        cache_read=minus(cache_read, cached_audio),
        cache_read_audio=cached_audio,
        cache_write_5m=_first(inputs.cache_write_tokens, inputs.cache_creation_tokens),
        input_audio=minus(positive(inputs.audio_tokens), cached_audio),
        input_image=_uncached_images(inputs, cache_read),
        reasoning=reasoning,
        output_audio=positive(outputs.audio_tokens),
        output_image=positive(outputs.image_tokens),
        server_tool_uses=_server_tools(told),
    )


def _either(one: _Details | None, other: _Details | None) -> _Details:
    return one if one is not None and one != _NOTHING else other or _NOTHING


def _cache_read(told: _Reported, inputs: _Details) -> int | None:
    """OpenAI's field; Perplexity's; then DeepSeek's, Moonshot's, Databricks' at the top level."""
    return _first(
        inputs.cached_tokens,
        inputs.cache_read_input_tokens,
        told.prompt_cache_hit_tokens,
        told.cached_tokens,
        told.cache_read_input_tokens,
    )


def _uncached_images(inputs: _Details, cache_read: int | None) -> int | None:
    cached = (inputs.cached_tokens_details or _NOTHING).image_tokens
    if cache_read and cached is None:
        return None  # which of the cached tokens were images is not told: the split would count some twice
    return positive(minus(inputs.image_tokens, cached))


def _place_reasoning(
    told: _Reported, outputs: _Details, provider: str, total_input: int | None
) -> tuple[int | None, int | None]:
    """All output and reasoning tokens. A host's `total_tokens` shows what its output count leaves out."""
    reasoning = _first(outputs.reasoning_tokens, told.reasoning_tokens)
    total_output = _first(told.completion_tokens, told.output_tokens)
    if total_output is None:
        return total_output, reasoning
    total = told.total_tokens
    outside = None if total is None or total_input is None else total - total_input - total_output
    if reasoning:
        is_outside = outside == reasoning or reasoning > total_output
        if provider in _REASONING_OUTSIDE and told.completion_tokens is not None:
            is_outside = is_outside or outside is None or provider not in _TOTAL_TELLS
        return total_output + reasoning if is_outside else total_output, reasoning
    if provider == "GOOGLE" and outside and outside > 0:
        # Gemini's OpenAI endpoint tells of thoughts only by a total that is too large.
        return total_output + outside, outside
    return total_output, reasoning


def _server_tools(told: _Reported) -> dict[str, int]:
    uses: dict[str, int] = {}
    searches = told.num_search_queries or (told.server_tool_use and told.server_tool_use.web_search_requests)
    if searches:
        uses["web_search"] = searches
    if told.citation_tokens:
        uses["citation_tokens"] = told.citation_tokens
    if told.prompt_audio_seconds:  # Mistral bills what it listens to by its length
        uses["audio_seconds"] = told.prompt_audio_seconds
    return uses


def count_tool_items(output: Json) -> dict[str, int]:
    """Uses of OpenAI's own tools among the output items of a response: `{web_search: 2}`."""
    uses: dict[str, int] = {}
    for item in as_list(output):
        kind = as_dict(item).get("type")
        tool = _TOOL_ITEMS.get(kind) if isinstance(kind, str) else None
        # Opening a page and finding in it are steps of a search that has been paid for.
        if tool == "web_search" and field(item, "action", "type") in ("open_page", "find_in_page", "find"):
            continue
        if tool:
            uses[tool] = uses.get(tool, 0) + 1
    return uses


_TOOL_ITEMS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "x_search_call": "x_search",
    "image_generation_call": "image_generation",
}


def reported_cost(usage: Json) -> Decimal | None:
    """What OpenRouter, Perplexity or xAI says that the call cost. Zero is "not told"."""
    ticks = as_count(field(usage, "cost_in_usd_ticks"))
    if ticks:
        return Decimal(ticks) / _XAI_TICKS
    cost = field(usage, "cost")
    dollars = _dollars(cost if not isinstance(cost, dict) else cost.get("total_cost"))
    if dollars is not None and field(usage, "is_byok") is True:
        # With one's own key OpenRouter's cost is its fee; the model is paid for elsewhere.
        dollars += _dollars(field(usage, "cost_details", "upstream_inference_cost")) or Decimal(0)
    return dollars or None


def _dollars(value: Json) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-18))

"""Usage as OpenAI and the hosts that speak its format report it.

`prompt_tokens` includes what was cached and `completion_tokens` what was reasoned, except where the table
below or the host's own `total_tokens` says otherwise. Sources: the hosts' API references and the extractors
of `genai-prices`.
"""

from decimal import Decimal

from heli.providers.json_values import Json, as_count, as_dict, as_list, field
from heli.providers.usage_ledger import first_count, minus, positive, split_totals
from heli.schema.usage import Usage

_REASONING_OUTSIDE = frozenset({"PERPLEXITY", "X"})
"""Hosts whose `completion_tokens` do not include reasoning."""
_TOTAL_TELLS = frozenset({"X"})
"""Those of them whose `total_tokens` includes it, so that the total has the last word."""

_XAI_TICKS = Decimal(10) ** 10
"""xAI reports a cost in ticks, this many to a dollar (docs.x.ai, Cost Tracking)."""


def read_usage(usage: Json, provider: str) -> Usage:
    """A ledger from the usage object of chat, completions, embeddings or responses."""
    fields = as_dict(usage)
    if not fields:
        return Usage()
    total_input = first_count(fields, "prompt_tokens", "input_tokens")
    total_output = first_count(fields, "completion_tokens", "output_tokens")
    inputs = as_dict(fields.get("prompt_tokens_details") or fields.get("input_tokens_details"))
    outputs = as_dict(fields.get("completion_tokens_details") or fields.get("output_tokens_details"))
    reasoning = first_count(outputs, "reasoning_tokens")
    if reasoning is None:
        reasoning = first_count(fields, "reasoning_tokens")
    reasoning, total_output = _place_reasoning(fields, provider, total_input, total_output, reasoning)
    cache_read = _cache_read(fields, inputs)
    cached_audio = positive(as_count(field(inputs, "cached_tokens_details", "audio_tokens")))
    image = positive(first_count(inputs, "image_tokens"))
    return split_totals(
        total_input=total_input,
        total_output=total_output,
        cache_read=minus(cache_read, cached_audio),
        cache_read_audio=cached_audio,
        cache_write_5m=first_count(inputs, "cache_write_tokens", "cache_creation_tokens"),
        input_audio=minus(positive(first_count(inputs, "audio_tokens")), cached_audio),
        # Which of the cached tokens were images is not told: the split would count some twice.
        input_image=None if cache_read else image,
        reasoning=reasoning,
        output_audio=positive(first_count(outputs, "audio_tokens")),
        output_image=positive(first_count(outputs, "image_tokens")),
        server_tool_uses=_server_tools(fields),
    )


def _cache_read(fields: dict[str, Json], inputs: dict[str, Json]) -> int | None:
    """OpenAI's field; Perplexity's; then DeepSeek's, Moonshot's, Databricks' at the top level."""
    cached = first_count(inputs, "cached_tokens", "cache_read_input_tokens")
    if cached is None:
        cached = first_count(fields, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    return cached


def _place_reasoning(
    fields: dict[str, Json],
    provider: str,
    total_input: int | None,
    total_output: int | None,
    reasoning: int | None,
) -> tuple[int | None, int | None]:
    """Reasoning tokens and all output. A host's `total_tokens` shows what its output count leaves out."""
    if total_output is None:
        return reasoning, total_output
    total = as_count(fields.get("total_tokens"))
    outside = None if total is None or total_input is None else total - total_input - total_output
    if reasoning:
        is_outside = outside == reasoning or reasoning > total_output
        if provider in _REASONING_OUTSIDE and "completion_tokens" in fields:
            is_outside = is_outside or outside is None or provider not in _TOTAL_TELLS
        return reasoning, total_output + reasoning if is_outside else total_output
    if provider == "GOOGLE" and outside and outside > 0:
        # Gemini's OpenAI endpoint tells of thoughts only by a total that is too large.
        return outside, total_output + outside
    return reasoning, total_output


def _server_tools(fields: dict[str, Json]) -> dict[str, int]:
    uses = {
        "web_search": first_count(fields, "num_search_queries")
        or as_count(field(fields, "server_tool_use", "web_search_requests")),
        "citation_tokens": first_count(fields, "citation_tokens"),
    }
    return {tool: count for tool, count in uses.items() if count}


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

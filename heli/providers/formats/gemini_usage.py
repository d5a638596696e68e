"""Usage as Gemini reports it."""

from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.providers.usage_ledger import first_count, minus, positive, split_totals
from heli.schema.usage import Usage


def read_usage(usage: Json, searches: int) -> Usage:
    """`promptTokenCount` includes the cache; thoughts and tools' results are counted beside the rest."""
    fields = as_dict(usage)
    prompt = as_count(fields.get("promptTokenCount"))
    tool_prompt = as_count(fields.get("toolUsePromptTokenCount"))
    cached = as_count(fields.get("cachedContentTokenCount"))
    candidates = first_count(fields, "candidatesTokenCount", "responseTokenCount")
    thoughts = as_count(fields.get("thoughtsTokenCount"))
    inputs = _by_modality(fields.get("promptTokensDetails"))
    caches = _by_modality(fields.get("cacheTokensDetails"))
    outputs = _by_modality(fields.get("candidatesTokensDetails") or fields.get("responseTokensDetails"))
    cached_audio = positive(caches.get("AUDIO"))
    audio = minus(positive(inputs.get("AUDIO")), cached_audio)
    image = minus(positive(inputs.get("IMAGE")), caches.get("IMAGE"))
    if cached and not caches:
        # Which of them were cached is not told: no more than the rest can be of another kind.
        room = max(0, (prompt or 0) - cached)
        audio = min(audio, room) if audio else audio
        image = None
    return split_totals(
        total_input=_add(prompt, tool_prompt),
        cache_read=minus(cached, cached_audio),
        cache_read_audio=cached_audio,
        input_audio=positive(audio),
        input_image=positive(image),
        total_output=_add(candidates, thoughts),
        reasoning=thoughts,
        output_audio=positive(outputs.get("AUDIO")),
        output_image=positive(outputs.get("IMAGE")),
        server_tool_uses={"google_search": searches} if searches else None,
    )


def _add(count: int | None, more: int | None) -> int | None:
    return more if count is None else count + (more or 0)


def _by_modality(details: Json) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in as_list(details):
        modality = as_text(field(each, "modality"))
        counts[modality] = counts.get(modality, 0) + (as_count(field(each, "tokenCount")) or 0)
    return counts


def count_searches(candidates: list[Json], model: str) -> int:
    """Searches that are billed: one for each answer up to Gemini 2, one for each query since Gemini 3."""
    queries = {
        query
        for candidate in candidates
        for query in as_list(field(candidate, "groundingMetadata", "webSearchQueries"))
        if isinstance(query, str) and query
    }
    return min(1, len(queries)) if model.startswith(("gemini-1", "gemini-2")) else len(queries)

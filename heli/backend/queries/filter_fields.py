"""The fields of a filter: which there are, and where in the request log each is found."""

from collections.abc import Callable

from heli.backend.queries.filter_columns import (
    TABLE,
    Column,
    bind_dollars,
    bind_nanodollars,
    flag_column,
    identifier_column,
    list_column,
    map_key_column,
    number_column,
    text_column,
    time_column,
    write_cached,
    write_property,
    write_score,
    write_search_properties,
)


def _sum(*columns: str) -> str:
    """The sum of what is known; unknown when nothing is."""
    names = [f"{TABLE}.{column}" for column in columns]
    total = " + ".join(f"ifNull({name}, 0)" for name in names)
    return f"if(coalesce({', '.join(names)}) IS NULL, NULL, {total})"


_INPUT = (
    "usage_input", "usage_cache_read", "usage_cache_write_5m", "usage_cache_write_1h", "usage_input_audio",
    "usage_input_image", "usage_cache_read_audio",
)  # fmt: skip
_OUTPUT = ("usage_output", "usage_reasoning", "usage_output_audio", "usage_output_image")


def _each(make: Callable[[str], Column], names: str) -> dict[str, Column]:
    return {name: make(f"{TABLE}.{name}") for name in names.split()}


_HELICONE: dict[str, Column] = {
    **_each(
        text_column,
        "country_code provider model user_id target_url request_body response_body prompt_id prompt_version"
        " request_referrer",
    ),
    **_each(identifier_column, "organization_id request_id response_id cache_reference_id"),
    **_each(
        number_column,
        "latency time_to_first_token status prompt_tokens completion_tokens reasoning_tokens"
        " prompt_cache_read_tokens prompt_cache_write_tokens prompt_audio_tokens completion_audio_tokens",
    ),
    "total_tokens": number_column(_sum("prompt_tokens", "completion_tokens", "reasoning_tokens")),
    "cost": number_column(f"{TABLE}.cost", bind_nanodollars),
    **_each(flag_column, "threat cache_enabled is_passthrough_billing"),
    "helicone-score-feedback": flag_column(f"{TABLE}.scores['helicone-score-feedback']"),
    "cached": write_cached,
    **_each(time_column, "request_created_at response_created_at"),
    "assets": list_column(f"{TABLE}.assets"),
    "scores_column": text_column(f"toString({TABLE}.scores)"),
    "properties": write_property,
    "search_properties": write_search_properties,
    "scores": write_score,
    "property_key": map_key_column(f"{TABLE}.properties"),
}
"""The fields of `request_response_rmt` in Helicone's filters."""

_HELI: dict[str, Column] = {
    **_each(
        text_column,
        "listener outcome operation origin path method request_model response_model cost_state cost_reason"
        " price_source finish_reason error_class error_message provider_request_id service_tier session_id"
        " session_name session_path request_preview response_preview request_text response_text"
        " interpret_error bodies_omitted session_source agent_program agent_session_id agent_id"
        " parent_agent_id agent_name trace_id span_id",
    ),
    **_each(
        number_column,
        "http_status duration_ms ttft_ms request_bytes response_bytes chunk_count "
        + " ".join(_INPUT + _OUTPUT),
    ),
    **_each(flag_column, "is_streaming"),
    **_each(time_column, "ended_at"),
    **_each(list_column, "tool_calls"),
    "cost_usd": number_column(f"{TABLE}.cost_usd", bind_dollars),
    "usage_total_input": number_column(_sum(*_INPUT)),
    "usage_total_output": number_column(_sum(*_OUTPUT)),
    "usage_total": number_column(_sum(*_INPUT, *_OUTPUT)),
    "usage_cache_write": number_column(_sum("usage_cache_write_5m", "usage_cache_write_1h")),
    "score_key": map_key_column(f"{TABLE}.scores"),
}
"""What heli adds to them."""

TABLES: dict[str, dict[str, Column]] = {
    TABLE: _HELICONE | _HELI,
    "request": {
        "id": _HELICONE["request_id"], "org_id": _HELICONE["organization_id"], "path": _HELI["path"],
        "created_at": _HELICONE["request_created_at"],
        **{name: _HELICONE[name] for name in ("user_id", "model", "country_code", "prompt_id")},
    },
    "response": {
        "status": _HELICONE["status"], "model": _HELICONE["model"], "body_model": _HELICONE["model"],
        "body_tokens": number_column(_sum("prompt_tokens", "completion_tokens")),
    },
    "properties": {"properties": write_property},
}  # fmt: skip
"""The tables of the older query API read the same columns."""

FIRST_FIELDS = ("properties", "search_properties", "scores", "cached", "cost")
"""These fields count before any other, whatever the order in which they are written."""

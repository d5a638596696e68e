"""How a request becomes a row of the request log.

One table of columns says it all: name, ClickHouse type, and how the value is read from a `LogRow`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heli.backend.stores.log_row import (
    LogRow,
    completion_tokens,
    helicone_status,
    kept,
    micros,
    millis,
    money,
    nanodollars,
    prompt_tokens,
    whole,
)
from heli.schema.request import Request
from heli.schema.usage import Usage

type Column = tuple[str, str, Callable[[LogRow, Request, Usage], Any]]

TIME = "DateTime64(3, 'UTC')"
EXACT_TIME = "DateTime64(6, 'UTC')"
WORD = "LowCardinality(String)"
COUNT = "Nullable(UInt64)"

HELICONE_COLUMNS: Sequence[Column] = (
    ("response_id", "Nullable(UUID)", lambda row, r, u: r.id),
    ("response_created_at", f"Nullable({TIME})", lambda row, r, u: millis(r.ended_at)),
    ("latency", "Nullable(Int64)", lambda row, r, u: whole(r.duration_ms)),
    ("status", "Int64", lambda row, r, u: helicone_status(r)),
    ("completion_tokens", "Nullable(Int64)", lambda row, r, u: completion_tokens(u)),
    ("completion_audio_tokens", "Int64", lambda row, r, u: u.output_audio_tokens or 0),
    ("prompt_tokens", "Nullable(Int64)", lambda row, r, u: prompt_tokens(u)),
    ("prompt_audio_tokens", "Int64", lambda row, r, u: u.input_audio_tokens or 0),
    (
        "prompt_cache_write_tokens",
        "Int64",
        lambda row, r, u: (u.cache_write_5m_tokens or 0) + (u.cache_write_1h_tokens or 0),
    ),
    (
        "prompt_cache_read_tokens",
        "Int64",
        lambda row, r, u: (u.cache_read_tokens or 0) + (u.cache_read_audio_tokens or 0),
    ),
    ("reasoning_tokens", "Int64", lambda row, r, u: u.reasoning_tokens or 0),
    ("model", WORD, lambda row, r, u: r.model),
    ("request_id", "UUID", lambda row, r, u: r.id),
    ("request_created_at", TIME, lambda row, r, u: millis(r.created_at)),
    ("user_id", WORD, lambda row, r, u: r.user_id),
    ("organization_id", "UUID", lambda row, r, u: r.organisation_id),
    ("proxy_key_id", "Nullable(UUID)", lambda row, r, u: row.proxy_key_id),
    ("time_to_first_token", "Nullable(Int64)", lambda row, r, u: whole(r.time_to_first_token_ms)),
    ("provider", WORD, lambda row, r, u: r.provider),
    ("target_url", "Nullable(String)", lambda row, r, u: r.origin + r.path),
    ("country_code", "Nullable(String)", lambda row, r, u: row.country_code),
    ("cache_enabled", "Bool", lambda row, r, u: row.cache_enabled),
    ("cache_reference_id", "UUID", lambda row, r, u: row.cache_reference_id),
    ("request_referrer", "String", lambda row, r, u: row.request_referrer),
    ("properties", "Map(LowCardinality(String), String)", lambda row, r, u: r.properties),
    ("scores", "Map(LowCardinality(String), Int64)", lambda row, r, u: row.scores),
    ("request_body", "String", lambda row, r, u: kept(row.request_body)),
    ("response_body", "String", lambda row, r, u: kept(row.response_body)),
    ("cost", "UInt64", lambda row, r, u: nanodollars(r.cost_usd)),
    ("prompt_id", "String", lambda row, r, u: row.prompt_id),
    ("prompt_version", "String", lambda row, r, u: row.prompt_version),
    ("storage_location", WORD, lambda row, r, u: "s3" if r.body_ref else "clickhouse"),
    ("size_bytes", "UInt32", lambda row, r, u: min(r.request_bytes + r.response_bytes, 2**32 - 1)),
    ("updated_at", TIME, lambda row, r, u: millis(row.updated_at or r.ended_at or r.created_at)),
)

HELI_COLUMNS: Sequence[Column] = (
    ("created_at", EXACT_TIME, lambda row, r, u: micros(r.created_at)),
    ("ended_at", f"Nullable({EXACT_TIME})", lambda row, r, u: micros(r.ended_at)),
    ("listener", WORD, lambda row, r, u: r.listener),
    ("outcome", WORD, lambda row, r, u: r.outcome.value),
    ("operation", WORD, lambda row, r, u: r.operation),
    ("origin", WORD, lambda row, r, u: r.origin),
    ("path", "String", lambda row, r, u: r.path),
    ("method", WORD, lambda row, r, u: r.method),
    ("request_model", WORD, lambda row, r, u: r.request_model),
    ("response_model", WORD, lambda row, r, u: r.response_model),
    ("http_status", "Nullable(UInt16)", lambda row, r, u: r.status),
    ("is_streaming", "Bool", lambda row, r, u: r.is_streaming),
    ("duration_ms", "Nullable(Float64)", lambda row, r, u: r.duration_ms),
    ("ttft_ms", "Nullable(Float64)", lambda row, r, u: r.time_to_first_token_ms),
    ("usage_input", COUNT, lambda row, r, u: u.input_tokens),
    ("usage_cache_read", COUNT, lambda row, r, u: u.cache_read_tokens),
    ("usage_cache_write_5m", COUNT, lambda row, r, u: u.cache_write_5m_tokens),
    ("usage_cache_write_1h", COUNT, lambda row, r, u: u.cache_write_1h_tokens),
    ("usage_input_audio", COUNT, lambda row, r, u: u.input_audio_tokens),
    ("usage_input_image", COUNT, lambda row, r, u: u.input_image_tokens),
    ("usage_cache_read_audio", COUNT, lambda row, r, u: u.cache_read_audio_tokens),
    ("usage_output", COUNT, lambda row, r, u: u.output_tokens),
    ("usage_reasoning", COUNT, lambda row, r, u: u.reasoning_tokens),
    ("usage_output_audio", COUNT, lambda row, r, u: u.output_audio_tokens),
    ("usage_output_image", COUNT, lambda row, r, u: u.output_image_tokens),
    ("server_tool_uses", "Map(LowCardinality(String), UInt64)", lambda row, r, u: u.server_tool_uses),
    ("provider_usage", "String", lambda row, r, u: r.provider_usage),
    ("cost_state", WORD, lambda row, r, u: r.cost_state.value),
    (
        "cost_usd",
        "Nullable(Decimal(38, 18))",
        lambda row, r, u: None if r.cost_usd is None else money(r.cost_usd),
    ),
    (
        "cost_parts",
        "Map(LowCardinality(String), Decimal(38, 18))",
        lambda row, r, u: {name: money(part) for name, part in r.cost_parts_usd.items()},
    ),
    ("cost_reason", WORD, lambda row, r, u: r.cost_reason),
    ("price_source", WORD, lambda row, r, u: r.price_source),
    ("price_date", "Nullable(Date)", lambda row, r, u: r.price_date),
    ("finish_reason", WORD, lambda row, r, u: r.finish_reason),
    ("error_class", WORD, lambda row, r, u: r.error_class),
    ("error_message", "String", lambda row, r, u: r.error_message),
    ("provider_request_id", "String", lambda row, r, u: r.provider_request_id),
    ("service_tier", WORD, lambda row, r, u: r.service_tier),
    ("rate_limits", "Map(LowCardinality(String), String)", lambda row, r, u: r.rate_limits),
    ("session_id", "String", lambda row, r, u: r.session_id),
    ("session_name", WORD, lambda row, r, u: r.session_name),
    ("session_path", "String", lambda row, r, u: r.session_path),
    ("request_preview", "String", lambda row, r, u: r.request_preview),
    ("response_preview", "String", lambda row, r, u: r.response_preview),
    ("request_text", "String", lambda row, r, u: row.request_text),
    ("response_text", "String", lambda row, r, u: row.response_text),
    ("request_bytes", "UInt64", lambda row, r, u: r.request_bytes),
    ("response_bytes", "UInt64", lambda row, r, u: r.response_bytes),
    ("chunk_count", "UInt32", lambda row, r, u: r.chunk_count),
    ("tool_calls", "Array(String)", lambda row, r, u: r.tool_calls),
    ("body_ref", "String", lambda row, r, u: r.body_ref),
    ("interpret_error", "String", lambda row, r, u: r.interpret_error),
    ("bodies_omitted", WORD, lambda row, r, u: r.bodies_omitted),
    ("session_source", WORD, lambda row, r, u: r.session_source),
    ("agent_program", WORD, lambda row, r, u: r.agent_program),
    ("agent_session_id", "String", lambda row, r, u: r.agent_session_id),
    ("agent_id", "String", lambda row, r, u: r.agent_id),
    ("parent_agent_id", "String", lambda row, r, u: r.parent_agent_id),
    ("agent_name", WORD, lambda row, r, u: r.agent_name),
    ("trace_id", "String", lambda row, r, u: r.trace_id),
    ("span_id", "String", lambda row, r, u: r.span_id),
    ("tool_uses", "String", lambda row, r, u: row.tool_uses),
    ("thread_keys", "Array(UInt64)", lambda row, r, u: row.thread_keys),
    ("thread_follows", "Array(UInt64)", lambda row, r, u: row.thread_follows),
)

COLUMNS: Sequence[Column] = (*HELICONE_COLUMNS, *HELI_COLUMNS)
COLUMN_TYPES: Mapping[str, str] = {name: type_name for name, type_name, _ in COLUMNS}

_BULKY = {"request_text", "response_text", "tool_uses", "thread_keys", "thread_follows"}
REQUEST_COLUMNS: Sequence[str] = (
    "request_id",
    "organization_id",
    "model",
    "user_id",
    "provider",
    "properties",
    *(name for name, _, _ in HELI_COLUMNS if name not in _BULKY),
)
"""What `request_from_row` needs: every column that a list of requests shows, and no body."""


LOG_ROW_COLUMNS: Sequence[str] = (
    *REQUEST_COLUMNS,
    *sorted(_BULKY),
    "updated_at",
    "proxy_key_id",
    "country_code",
    "cache_enabled",
    "cache_reference_id",
    "request_referrer",
    "scores",
    "request_body",
    "response_body",
    "prompt_id",
    "prompt_version",
)
"""What `log_row_from_row` needs: all that a row holds."""


def columns_of(rows: Sequence[LogRow]) -> dict[str, list[Any]]:
    """The rows as `{column: values}`."""
    triples = [(row, row.request, row.request.usage) for row in rows]
    return {name: [read(*triple) for triple in triples] for name, _, read in COLUMNS}


def with_whole_characters(value: Any) -> Any:
    """The same with `?` for characters that UTF-8 cannot hold, in every text however deep."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {with_whole_characters(name): with_whole_characters(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_whole_characters(item) for item in value]
    return value

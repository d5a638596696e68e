"""How a request becomes a row of the request log, and a row a request again.

One table of columns says it all: name, ClickHouse type, and how the value is read from a `LogRow`.
"""

import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from heli.schema.exchange import Outcome
from heli.schema.request import Request
from heli.schema.usage import NANODOLLARS, CostState, Usage

NO_UUID = uuid.UUID(int=0)
MAX_BODY_TEXT = 65_536
"""JSON bodies up to this many characters are also kept in the row, so that SQL can read them."""


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """A request with what the log keeps beside it."""

    request: Request
    request_text: str = ""
    """The words of the question, for search."""
    response_text: str = ""
    request_body: str = ""
    """The body's JSON text; what is longer than `MAX_BODY_TEXT` is left out."""
    response_body: str = ""
    updated_at: datetime.datetime | None = None
    """The row's version: of two rows of one id the later wins. `None` for the request's own end, so that
    the same exchange ingested twice is the same row."""
    proxy_key_id: uuid.UUID | None = None
    country_code: str | None = None
    cache_enabled: bool = False
    cache_reference_id: uuid.UUID = NO_UUID
    """The request whose saved reply was used; nil when it was not served from the cache."""
    request_referrer: str = ""
    scores: dict[str, int] = {}
    prompt_id: str = ""
    prompt_version: str = ""
    tool_uses: str = ""
    """JSON of the tools that the reply calls, and of the results that the request brought."""
    thread_keys: list[int] = []
    """Keys by which later calls are known to go on from this one."""
    thread_follows: list[int] = []
    """Keys of the calls that this one may go on from."""


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
NANO = Decimal(NANODOLLARS)
MONEY_DIGITS = Decimal(1).scaleb(-18)
MONEY = decimal.Context(prec=38, rounding=decimal.ROUND_HALF_EVEN)

ABNORMAL_STATUS = {Outcome.CLIENT_ABORTED: -3, Outcome.TIMEOUT: -2}
OTHER_ABNORMAL_STATUS = -100


def helicone_status(request: Request) -> int:
    """Helicone's status: the HTTP one; -3 for a caller that hung up, -2 for a time-out, else -100."""
    if request.outcome is Outcome.COMPLETE or request.outcome is Outcome.REFUSED:
        return OTHER_ABNORMAL_STATUS if request.status is None else request.status
    if (status := ABNORMAL_STATUS.get(request.outcome)) is not None:
        return status
    return OTHER_ABNORMAL_STATUS if request.status is None or request.status < 400 else request.status


def _micros(moment: datetime.datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // MICROSECOND


def _millis(moment: datetime.datetime | None) -> int | None:
    micros = _micros(moment)
    return None if micros is None else micros // 1000


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _money(value: Decimal) -> Decimal:
    return value.quantize(MONEY_DIGITS, context=MONEY)


def _nanodollars(value: Decimal | None) -> int:
    return 0 if value is None or value <= 0 else int((value * NANO).to_integral_value())


def _kept(body: str) -> str:
    return body if len(body) <= MAX_BODY_TEXT else ""


def _prompt_tokens(usage: Usage) -> int | None:
    """Helicone's: input of every kind, what the cache gave or took left out."""
    return _sum(usage.input_tokens, usage.input_audio_tokens, usage.input_image_tokens)


def _completion_tokens(usage: Usage) -> int | None:
    """Helicone's: output of every kind, reasoning left out."""
    return _sum(usage.output_tokens, usage.output_audio_tokens, usage.output_image_tokens)


type Column = tuple[str, str, Callable[[LogRow, Request, Usage], Any]]

TIME = "DateTime64(3, 'UTC')"
EXACT_TIME = "DateTime64(6, 'UTC')"
WORD = "LowCardinality(String)"
COUNT = "Nullable(UInt64)"

HELICONE_COLUMNS: Sequence[Column] = (
    ("response_id", "Nullable(UUID)", lambda row, r, u: r.id),
    ("response_created_at", f"Nullable({TIME})", lambda row, r, u: _millis(r.ended_at)),
    ("latency", "Nullable(Int64)", lambda row, r, u: _whole(r.duration_ms)),
    ("status", "Int64", lambda row, r, u: helicone_status(r)),
    ("completion_tokens", "Nullable(Int64)", lambda row, r, u: _completion_tokens(u)),
    ("completion_audio_tokens", "Int64", lambda row, r, u: u.output_audio_tokens or 0),
    ("prompt_tokens", "Nullable(Int64)", lambda row, r, u: _prompt_tokens(u)),
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
    ("request_created_at", TIME, lambda row, r, u: _millis(r.created_at)),
    ("user_id", WORD, lambda row, r, u: r.user_id),
    ("organization_id", "UUID", lambda row, r, u: r.organisation_id),
    ("proxy_key_id", "Nullable(UUID)", lambda row, r, u: row.proxy_key_id),
    ("time_to_first_token", "Nullable(Int64)", lambda row, r, u: _whole(r.time_to_first_token_ms)),
    ("provider", WORD, lambda row, r, u: r.provider),
    ("target_url", "Nullable(String)", lambda row, r, u: r.origin + r.path),
    ("country_code", "Nullable(String)", lambda row, r, u: row.country_code),
    ("cache_enabled", "Bool", lambda row, r, u: row.cache_enabled),
    ("cache_reference_id", "UUID", lambda row, r, u: row.cache_reference_id),
    ("request_referrer", "String", lambda row, r, u: row.request_referrer),
    ("properties", "Map(LowCardinality(String), String)", lambda row, r, u: r.properties),
    ("scores", "Map(LowCardinality(String), Int64)", lambda row, r, u: row.scores),
    ("request_body", "String", lambda row, r, u: _kept(row.request_body)),
    ("response_body", "String", lambda row, r, u: _kept(row.response_body)),
    ("cost", "UInt64", lambda row, r, u: _nanodollars(r.cost_usd)),
    ("prompt_id", "String", lambda row, r, u: row.prompt_id),
    ("prompt_version", "String", lambda row, r, u: row.prompt_version),
    ("storage_location", WORD, lambda row, r, u: "s3" if r.body_ref else "clickhouse"),
    ("size_bytes", "UInt32", lambda row, r, u: min(r.request_bytes + r.response_bytes, 2**32 - 1)),
    ("updated_at", TIME, lambda row, r, u: _millis(row.updated_at or r.ended_at or r.created_at)),
)

HELI_COLUMNS: Sequence[Column] = (
    ("created_at", EXACT_TIME, lambda row, r, u: _micros(r.created_at)),
    ("ended_at", f"Nullable({EXACT_TIME})", lambda row, r, u: _micros(r.ended_at)),
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
        lambda row, r, u: None if r.cost_usd is None else _money(r.cost_usd),
    ),
    (
        "cost_parts",
        "Map(LowCardinality(String), Decimal(38, 18))",
        lambda row, r, u: {name: _money(part) for name, part in r.cost_parts_usd.items()},
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


def _plain(value: Decimal) -> Decimal:
    """The same amount without the zeros that the column's scale adds."""
    short = value.normalize(MONEY)
    return short if short.as_tuple().exponent <= 0 else short.quantize(Decimal(1), context=MONEY)  # type: ignore[operator]


def request_from_row(row: Mapping[str, Any]) -> Request:
    """The request that a row holds; the row must have all of `REQUEST_COLUMNS`."""
    cost = row["cost_usd"]
    return Request(
        id=row["request_id"],
        organisation_id=row["organization_id"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        listener=row["listener"],
        outcome=Outcome(row["outcome"]),
        provider=row["provider"],
        operation=row["operation"],
        origin=row["origin"],
        path=row["path"],
        method=row["method"],
        model=row["model"],
        request_model=row["request_model"],
        response_model=row["response_model"],
        status=row["http_status"],
        is_streaming=row["is_streaming"],
        duration_ms=row["duration_ms"],
        time_to_first_token_ms=row["ttft_ms"],
        usage=_usage_from_row(row),
        provider_usage=row["provider_usage"],
        cost_state=CostState(row["cost_state"]),
        cost_usd=None if cost is None else _plain(cost),
        cost_parts_usd={name: _plain(part) for name, part in row["cost_parts"].items()},
        cost_reason=row["cost_reason"],
        price_source=row["price_source"],
        price_date=row["price_date"],
        finish_reason=row["finish_reason"],
        error_class=row["error_class"],
        error_message=row["error_message"],
        provider_request_id=row["provider_request_id"],
        service_tier=row["service_tier"],
        rate_limits=row["rate_limits"],
        user_id=row["user_id"],
        session_id=row["session_id"],
        session_name=row["session_name"],
        session_path=row["session_path"],
        properties=row["properties"],
        request_preview=row["request_preview"],
        response_preview=row["response_preview"],
        request_bytes=row["request_bytes"],
        response_bytes=row["response_bytes"],
        chunk_count=row["chunk_count"],
        tool_calls=list(row["tool_calls"]),
        body_ref=row["body_ref"],
        interpret_error=row["interpret_error"],
        bodies_omitted=row["bodies_omitted"],
        session_source=row["session_source"],
        agent_program=row["agent_program"],
        agent_session_id=row["agent_session_id"],
        agent_id=row["agent_id"],
        parent_agent_id=row["parent_agent_id"],
        agent_name=row["agent_name"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
    )


def _usage_from_row(row: Mapping[str, Any]) -> Usage:
    return Usage(
        input_tokens=row["usage_input"],
        cache_read_tokens=row["usage_cache_read"],
        cache_write_5m_tokens=row["usage_cache_write_5m"],
        cache_write_1h_tokens=row["usage_cache_write_1h"],
        input_audio_tokens=row["usage_input_audio"],
        input_image_tokens=row["usage_input_image"],
        output_tokens=row["usage_output"],
        reasoning_tokens=row["usage_reasoning"],
        output_audio_tokens=row["usage_output_audio"],
        server_tool_uses=row["server_tool_uses"],
        cache_read_audio_tokens=row["usage_cache_read_audio"],
        output_image_tokens=row["usage_output_image"],
    )

"""How a row of the request log becomes a request again."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from heli.backend.stores.log_row import MONEY, LogRow
from heli.schema.exchange import Outcome
from heli.schema.request import Request
from heli.schema.usage import CostState, Usage


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


def log_row_from_row(row: Mapping[str, Any]) -> LogRow:
    """The row as it was inserted; the row must have all of `LOG_ROW_COLUMNS`."""
    return LogRow(
        request=request_from_row(row),
        request_text=row["request_text"],
        response_text=row["response_text"],
        request_body=row["request_body"],
        response_body=row["response_body"],
        updated_at=row["updated_at"],
        proxy_key_id=row["proxy_key_id"],
        country_code=row["country_code"],
        cache_enabled=row["cache_enabled"],
        cache_reference_id=row["cache_reference_id"],
        request_referrer=row["request_referrer"],
        scores=row["scores"],
        prompt_id=row["prompt_id"],
        prompt_version=row["prompt_version"],
        tool_uses=row["tool_uses"],
        thread_keys=list(row["thread_keys"]),
        thread_follows=list(row["thread_follows"]),
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

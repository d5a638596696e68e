"""From an exchange, what its caller said and how it was interpreted, to a row of the request log."""

import datetime
from uuid import UUID

import msgspec

from heli.backend.ingest.attribution import Attribution
from heli.backend.ingest.own_session import own_session
from heli.backend.stores.request_log import LogRow
from heli.providers.interpretation import Interpretation
from heli.providers.tool_uses import ToolUses
from heli.schema.errors import UsageError
from heli.schema.exchange import Exchange
from heli.schema.request import Request

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MAX_BODY_TEXT = 65_536
"""Longer bodies are found in the archive only."""
EARLIEST_NS = 946_684_800 * 10**9
"""The year 2000: no clock is older."""
MAX_OFFSET_US = 31_536_000 * 10**6
"""No exchange takes a year."""
LATEST_NS = 4_102_444_800 * 10**9
"""The year 2100."""


def started_at(exchange: Exchange) -> datetime.datetime:
    """When the call began. Raises `UsageError` for a time that no clock shows."""
    if not EARLIEST_NS <= exchange.started_ns < LATEST_NS:
        raise UsageError(f"started_ns is {exchange.started_ns}, which is not a time between 2000 and 2100")
    return EPOCH + datetime.timedelta(microseconds=exchange.started_ns // 1000)


def check_offset(at_us: int) -> None:
    """Raises `UsageError` for a time within an exchange that is before it or years after."""
    if not 0 <= at_us < MAX_OFFSET_US:
        raise UsageError(f"a chunk came {at_us} microseconds after its exchange began, which cannot be")


def without_omitted(exchange: Exchange, told: Attribution) -> Exchange:
    """The exchange as it may be archived: bodies that the caller wants left out are gone."""
    if not told.omit_request and not told.omit_response:
        return exchange
    return msgspec.structs.replace(
        exchange,
        request_body=b"" if told.omit_request else exchange.request_body,
        response_body=b"" if told.omit_response else exchange.response_body,
    )


def build_row(
    exchange: Exchange, told: Attribution, read: Interpretation, body_ref: str, organisation: UUID
) -> LogRow:
    """The row; of an omitted body neither text nor preview is kept, only its counts."""
    keeps_request, keeps_response = not told.omit_request, not told.omit_response
    return LogRow(
        request=_request(exchange, told, read, body_ref, organisation),
        request_text=read.request_text if keeps_request else "",
        response_text=read.response_text if keeps_response else "",
        request_body=_json_text(read.request_body) if keeps_request else "",
        response_body=_json_text(read.response_body) if keeps_response else "",
        cache_enabled=told.cache_enabled,
        prompt_id=told.prompt_id,
        prompt_version=told.prompt_version,
        tool_uses=_tool_uses(read.tools, keeps_request, keeps_response),
        thread_keys=read.thread.keys,
        thread_follows=read.thread.follows,
    )


def _tool_uses(tools: ToolUses, keeps_request: bool, keeps_response: bool) -> str:
    kept = ToolUses(tools.calls if keeps_response else [], tools.results if keeps_request else [])
    return msgspec.json.encode(kept).decode() if kept.calls or kept.results else ""


def _request(
    exchange: Exchange, told: Attribution, read: Interpretation, body_ref: str, organisation: UUID
) -> Request:
    created_at = started_at(exchange)
    end_us = exchange.end_us
    session = own_session(told, read.agent)
    return Request(
        id=exchange.request_id,
        organisation_id=organisation,
        created_at=created_at,
        ended_at=None if end_us is None else created_at + datetime.timedelta(microseconds=end_us),
        listener=exchange.listener.value,
        outcome=read.outcome,
        provider=read.provider,
        operation=read.operation,
        origin=exchange.origin,
        path=exchange.path,
        method=exchange.method,
        model=told.model_override or read.response_model or read.request_model or read.path_model,
        request_model=read.request_model,
        response_model=read.response_model,
        status=exchange.response_status,
        is_streaming=read.is_streaming,
        duration_ms=_ms(end_us),
        time_to_first_token_ms=_ms(read.time_to_first_token_us),
        usage=read.usage,
        provider_usage=read.provider_usage,
        cost_state=read.cost.state,
        cost_usd=read.cost.total_usd,
        cost_parts_usd=read.cost.parts_usd,
        cost_reason=read.cost.reason,
        price_source=read.cost.price_source,
        price_date=read.cost.price_date,
        finish_reason=read.finish_reason,
        error_class=read.error_class,
        error_message=read.error_message if not told.omit_response else "",
        provider_request_id=read.provider_request_id,
        service_tier=read.service_tier,
        rate_limits=read.rate_limits,
        user_id=told.user_id or read.body_user,
        session_id=session.id,
        session_name=session.name,
        session_path=session.path,
        session_source=session.source,
        agent_program=read.agent.program,
        agent_session_id=read.agent.session_id,
        agent_id=read.agent.agent_id,
        parent_agent_id=read.agent.parent_agent_id,
        agent_name=read.agent.agent_name,
        trace_id=read.agent.trace_id,
        span_id=read.agent.span_id,
        properties=session.properties,
        request_preview=read.request_preview if not told.omit_request else "",
        response_preview=read.response_preview if not told.omit_response else "",
        request_bytes=exchange.request_body_bytes,
        response_bytes=exchange.response_body_bytes,
        chunk_count=len(exchange.response_chunks),
        tool_calls=read.tool_calls if not told.omit_response else [],
        body_ref=body_ref,
        interpret_error=read.interpret_error,
        bodies_omitted=_omitted(exchange, told),
    )


def _json_text(body: bytes) -> str:
    """The body's text when it is a JSON object or array that a row may hold, else nothing."""
    text = body.strip()
    if len(text) > MAX_BODY_TEXT or not text.startswith((b"{", b"[")):
        return ""
    return text.decode(errors="replace")


def _ms(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


def _omitted(exchange: Exchange, told: Attribution) -> str:
    if exchange.bodies_dropped:
        return "dropped"
    if told.omit_request:
        return "request,response" if told.omit_response else "request"
    return "response" if told.omit_response else ""

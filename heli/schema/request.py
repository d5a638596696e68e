"""A request: one call to a provider and its reply, interpreted; one row of the request log."""

import datetime
import uuid
from decimal import Decimal

import msgspec

from heli.schema.exchange import Outcome
from heli.schema.usage import CostState, Usage

LOCAL_ORGANISATION = uuid.UUID("00000000-0000-0000-0000-000000000001")
"""The organisation `local`, to which everything belongs when there are no accounts."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the request log tells of one call. Times are UTC, unknown is `None`."""

    id: uuid.UUID
    organisation_id: uuid.UUID = LOCAL_ORGANISATION
    created_at: datetime.datetime
    """When the first byte of the request came."""
    ended_at: datetime.datetime | None = None
    listener: str
    outcome: Outcome
    provider: str
    """The provider's name in Helicone's spelling, `OPENAI`; the target's origin when it is nobody's."""
    operation: str
    """`chat`, `completion`, `response`, `embedding`, `count_tokens`, … or `other`."""
    origin: str
    path: str
    method: str = "POST"
    model: str = ""
    """Override, else the reply's, else the request's, else from the path; empty when there is none."""
    request_model: str = ""
    response_model: str = ""
    status: int | None = None
    """The HTTP status that the caller got; `None` when the call ended without one."""
    is_streaming: bool = False
    duration_ms: float | None = None
    time_to_first_token_ms: float | None = None
    usage: Usage = Usage()
    provider_usage: str = ""
    """The provider's own usage object, as JSON, untouched."""
    cost_state: CostState = CostState.UNKNOWN
    cost_usd: Decimal | None = None
    cost_parts_usd: dict[str, Decimal] = {}
    cost_reason: str = ""
    price_source: str = ""
    price_date: datetime.date | None = None
    finish_reason: str = ""
    error_class: str = ""
    """`rate_limit`, `overloaded`, `auth`, `invalid_request`, `server_error`, `upstream_error`,
    `client_aborted`, `interrupted`, `timeout`, `refused` or another short word; empty when it went well."""
    error_message: str = ""
    provider_request_id: str = ""
    service_tier: str = ""
    rate_limits: dict[str, str] = {}
    """The reply's rate-limit headers, names in lower case."""
    user_id: str = ""
    session_id: str = ""
    session_name: str = ""
    session_path: str = ""
    session_source: str = ""
    """Who named the session: `caller`, `agent`, `conversation` (the provider keeps it), `thread` (heli saw
    that calls go on from each other), `inherited` from the call that this one goes on from; or nobody."""
    agent_program: str = ""
    """`claude-code`, `codex`, `gemini-cli`, or empty."""
    agent_session_id: str = ""
    """The agent's own name for its session, whatever the caller calls it."""
    agent_id: str = ""
    """Which agent of the session made the call; empty for the main one."""
    parent_agent_id: str = ""
    agent_name: str = ""
    trace_id: str = ""
    """Of W3C's `traceparent`."""
    span_id: str = ""
    properties: dict[str, str] = {}
    request_preview: str = ""
    """The last user message, at most 300 characters, one line."""
    response_preview: str = ""
    """The reply's text, or the tools that it calls, at most 300 characters, one line."""
    request_bytes: int = 0
    response_bytes: int = 0
    chunk_count: int = 0
    tool_calls: list[str] = []
    """Names of the tools that the reply calls, in order."""
    body_ref: str = ""
    """Where the exchange is archived; empty when no body was kept."""
    interpret_error: str = ""
    """Why the exchange could not be interpreted, or not wholly."""
    bodies_omitted: str = ""
    """`request`, `response` or `request,response` when the caller asked that they not be kept;
    `dropped` when the spool was nearly full."""

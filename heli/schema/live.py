"""The live feed: what happens to calls at this moment. Best effort; the request log is the truth."""

import datetime
import enum
import uuid
from decimal import Decimal

import msgspec

from heli.schema.request import Request


class LiveKind(enum.StrEnum):
    STARTED = "started"
    STREAMING = "streaming"
    FINISHED = "finished"
    LEFT = "left"
    """A call that was told of drops out: it is not what the filter asks for after all, or was given up."""


class LiveCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call in flight, as far as it is known."""

    id: uuid.UUID
    created_at: datetime.datetime
    provider: str = ""
    model: str = ""
    session_id: str = ""
    session_path: str = ""
    status: int | None = None
    time_to_first_token_ms: float | None = None
    output_tokens_estimate: int | None = None
    preview: str = ""
    """The newest words of the reply, or of the question while there is no reply."""


class LiveEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of `GET /v1/live`: `request` for finished, `call` for the others."""

    kind: LiveKind
    call: LiveCall | None = None
    request: Request | None = None


class LiveTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The feed's status line."""

    in_flight: int
    today_cost_usd: Decimal
    today_estimated_cost_requests: int = 0
    """How many of the costs in that sum are estimates."""
    gateways: int = 0
    """How many gateways were heard of lately."""
    spool_records: int | None = None
    """Calls that wait in their spools; `None`, as all that follows, when there is none."""
    spool_lag_s: float | None = None
    """The age of the oldest of them; also `None` when none waits."""
    dropped_records: int | None = None
    dead_letters: int | None = None

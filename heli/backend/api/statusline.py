"""A line for a shell's prompt: today, some sessions, what is in flight. From running sums, in a moment."""

from decimal import Decimal
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from heli.backend.api.answers import Json, tells
from heli.backend.api.parts import Here, Parts
from heli.backend.queries.costs import Spend

MAX_SESSIONS = 8
PATIENCE_S = 0.02
"""A session that was never asked for before is looked up in the log; a prompt does not wait long for it."""

router = APIRouter(tags=["Live"])

Session = Annotated[
    list[str] | None,
    Query(description="ids of sessions to tell of", max_length=MAX_SESSIONS),
]


class SessionLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one session came to so far."""

    session_id: str
    in_flight: int
    spend: Spend | None
    """`null` while it is being looked up."""


class StatusLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a status line shows."""

    in_flight: int
    today_cost_usd: Decimal
    today_estimated_cost_requests: int
    sessions: list[SessionLine]


@router.get("/v1/statusline", summary="What a status line shows", responses=tells(StatusLine, "Running sums"))
async def statusline(here: Here, session: Session = None) -> Response:
    """Today's known costs, the calls in flight, and the sums of some sessions.

    Answered from running sums. A session that was not asked for lately is looked up first, so its `spend`
    may be `null`; ask again a moment later.
    """
    return Json(
        StatusLine(
            in_flight=here.hub.in_flight,
            today_cost_usd=here.hub.spent.cost_usd,
            today_estimated_cost_requests=here.hub.spent.estimated_cost_requests,
            sessions=[await _line(here, session_id) for session_id in dict.fromkeys(session or ())],
        )
    )


async def _line(here: Parts, session_id: str) -> SessionLine:
    return SessionLine(
        session_id=session_id,
        in_flight=here.hub.in_flight_of(session_id),
        spend=await here.sessions.find(session_id, PATIENCE_S),
    )

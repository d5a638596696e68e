"""heli's own routes for requests: list, one, its raw exchange, its conversation."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from heli.backend.api.answers import Json, tells
from heli.backend.api.parts import Here
from heli.backend.api.period import make_node
from heli.backend.queries.exchange_view import ExchangeView, load_exchange, view_exchange
from heli.backend.queries.refs import find_request
from heli.backend.queries.request_list import MAX_LIMIT, Order, Page, list_requests
from heli.providers import find_call, read_conversation
from heli.schema.conversation import Conversation
from heli.schema.request import Request

router = APIRouter(prefix="/v1/requests", tags=["Requests"])

Filter = Annotated[
    str, Query(description="a filter, such as `model:gpt-4o* status>=400 since:2h`", max_length=16_384)
]
Since = Annotated[
    str, Query(description="only calls from then on: `2h`, `7d`, `2026-07-27`, RFC 3339", max_length=100)
]
Until = Annotated[str, Query(description="only calls before then", max_length=100)]
SideCalls = Annotated[
    bool, Query(description="also calls that run no model and cost nothing, such as lists of models")
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str, Query(description="`next_cursor` of the page before", max_length=100)]


@router.get("", summary="List requests", responses=tells(Page, "One page"))
def list_all(
    here: Here,
    filter: Filter = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
    cursor: Cursor = "",
    order: Order = "newest",
    side_calls: SideCalls = True,
) -> Response:
    """Requests that the filter lets through, page by page."""
    scope = here.scope(make_node(filter, since, until, side_calls=side_calls))
    return Json(list_requests(here.log, scope, limit, cursor, order))


@router.get("/{ref}", summary="Show a request", responses=tells(Request, "The request"))
def show(here: Here, ref: str) -> Response:
    """By its id, the beginning of its id (4 letters or more), `@last`, or `@-2` for the one before that."""
    return Json(find_request(here.log, here.scope(), ref))


@router.get(
    "/{ref}/exchange", summary="Show what crossed the wire", responses=tells(ExchangeView, "Heads and bodies")
)
def show_exchange(here: Here, ref: str) -> Response:
    """Both heads and both bodies, decoded, and when each piece came. Secrets are masked."""
    request = find_request(here.log, here.scope(), ref)
    return Json(view_exchange(request, load_exchange(here.bodies, request)))


@router.get(
    "/{ref}/conversation",
    summary="Show the conversation",
    responses=tells(Conversation, "Messages and tools"),
)
def show_conversation(here: Here, ref: str) -> Response:
    """The messages of question and reply in one form for all providers."""
    request = find_request(here.log, here.scope(), ref)
    return Json(read_conversation(find_call(load_exchange(here.bodies, request), request.id.bytes)))

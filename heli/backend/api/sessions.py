"""Sessions: one as a tree of agents, calls and tools."""

from fastapi import APIRouter
from starlette.responses import Response

from heli.backend.api.answers import Json, tells
from heli.backend.api.parts import Here
from heli.backend.queries.scope import only_model_calls
from heli.backend.queries.session_tree import load_session
from heli.schema.session import Session

router = APIRouter(prefix="/v1/sessions", tags=["Sessions"])


@router.get("/{id:path}", summary="Show a session", responses=tells(Session, "The session as a tree"))
def show(here: Here, id: str) -> Response:
    """Agents below those that started them, calls oldest first, tool calls with their results, and sums.

    At most the first 5,000 calls; then `is_cut` is true.
    """
    return Json(load_session(here.log, only_model_calls(here.scope()), id))

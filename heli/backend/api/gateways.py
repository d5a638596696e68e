"""Gateways: what each tells of its spool."""

from fastapi import APIRouter
from starlette.responses import Response

from heli.backend.api.answers import Json, tells
from heli.backend.api.parts import Here
from heli.schema.heartbeat import Gateways

router = APIRouter(tags=["Live"])


@router.get(
    "/v1/gateways", summary="Which gateways deliver here", responses=tells(Gateways, "Those heard of lately")
)
async def gateways(here: Here) -> Response:
    """The gateways that were heard of in the last 10 seconds, and what waits in the spool of each worker."""
    return Json(here.hub.gateways.told())

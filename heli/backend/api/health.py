"""Is it alive, is it ready, how is it doing, what does it offer."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from heli.backend.api.answers import Json, tells
from heli.backend.api.document import describe
from heli.backend.api.error_answers import ErrorBody
from heli.backend.api.health_answers import Status, alive, ready_or_not
from heli.backend.api.parts import Here

router = APIRouter(tags=["Health"])


@router.get("/healthcheck", summary="Is the backend alive", responses=tells(Status, "It is"))
async def healthcheck() -> Response:
    """Answers as long as the process lives, whatever the stores do."""
    return alive()


@router.get(
    "/readyz",
    summary="Do the stores answer",
    responses={**tells(Status, "They do"), **tells(ErrorBody, "They do not, and why", 503)},
)
async def readyz(here: Here) -> Response:
    """Asks the stores now; one that is slow to answer counts as it did before."""
    return await ready_or_not(here.readiness, here.accounts)


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(here: Here) -> Response:
    """In Prometheus' text format."""
    return Response(here.metrics.write(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get(
    "/download/swagger.json", summary="The OpenAPI document, where Helicone has it", include_in_schema=False
)
async def swagger(request: Request) -> Response:
    return Json(describe(request.app))

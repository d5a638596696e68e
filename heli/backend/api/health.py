"""Is it alive, is it ready, how is it doing, what does it offer."""

import asyncio

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from heli.backend.api.answers import Json, describe, tells
from heli.backend.api.errors import ErrorBody, error_answer
from heli.backend.api.parts import Here

router = APIRouter(tags=["Health"])

PATIENCE_S = 2.0


class Status(msgspec.Struct, frozen=True):
    """`ok`."""

    status: str


@router.get("/healthcheck", summary="Is the backend alive", responses=tells(Status, "It is"))
async def healthcheck() -> Response:
    """Answers as long as the process lives, whatever the stores do."""
    return Json(Status("ok"))


@router.get(
    "/readyz",
    summary="Do the stores answer",
    responses={**tells(Status, "They do"), **tells(ErrorBody, "They do not, and why", 503)},
)
async def readyz(here: Here) -> Response:
    """Asks the stores now."""
    await asyncio.gather(here.readiness.look(PATIENCE_S), here.accounts.look(PATIENCE_S))
    if (trouble := here.readiness.trouble or here.accounts.trouble) is None:
        return Json(Status("ok"))
    answer = error_answer(trouble)
    answer.status_code = 503
    return answer


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(here: Here) -> Response:
    """In Prometheus' text format."""
    return Response(here.metrics.write(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get(
    "/download/swagger.json", summary="The OpenAPI document, where Helicone has it", include_in_schema=False
)
async def swagger(request: Request) -> Response:
    return Json(describe(request.app))

"""Ingest: gateways' shippers bring exchanges here, and tell what is in flight."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from heli.backend.api.answers import Json, tells
from heli.backend.api.parts import Here
from heli.backend.api.paths import HEARTBEAT_PATH, INGEST_PATH, LIVE_PATH, OPEN_PATH
from heli.backend.ingest.pipeline import IngestAnswer

router = APIRouter(tags=["Ingest"])

_BATCH = {
    "requestBody": {
        "description": "zstd of a msgpack array",
        "required": True,
        "content": {"application/x-heli-exchanges": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    INGEST_PATH,
    summary="Store exchanges",
    responses=tells(IngestAnswer, "Rows and bodies are durable"),
    openapi_extra=_BATCH,
)
async def ingest(request: Request, here: Here) -> Response:
    """A batch of exchanges, each stored once however often it is sent. Needs the ingest token."""
    here.door.admit(request.headers.get("authorization", ""))
    here.readiness.require()
    return Json(await here.door.take(await request.body()))


@router.post(
    OPEN_PATH,
    summary="Store what has ended of exchanges that go on",
    responses=tells(IngestAnswer, "Rows and bodies are durable"),
    openapi_extra=_BATCH,
)
async def ingest_open(request: Request, here: Here) -> Response:
    """WebSockets as far as they came: their responses that have ended are stored, each once. What goes on is
    told again, and in the end by `POST /v1/ingest`. Needs the ingest token."""
    here.door.admit(request.headers.get("authorization", ""))
    here.readiness.require()
    return Json(await here.door.take(await request.body(), are_open=True))


@router.post(LIVE_PATH, summary="Tell what is in flight", status_code=204, openapi_extra=_BATCH)
async def ingest_live(request: Request, here: Here) -> Response:
    """Records of calls in flight, for the live feed. Needs the ingest token."""
    here.door.admit(request.headers.get("authorization", ""))
    here.door.take_live(await request.body())
    return Response(status_code=204)


@router.post(HEARTBEAT_PATH, summary="Tell what waits in a gateway's spool", status_code=204)
async def ingest_heartbeat(request: Request, here: Here) -> Response:
    """A Heartbeat as JSON, every other second. Needs the ingest token."""
    here.door.admit(request.headers.get("authorization", ""))
    here.hub.gateways.hear(await request.body())
    return Response(status_code=204)

"""The live feed, as server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from heli.backend.api.answers import encode, tells
from heli.backend.api.parts import Here, Parts
from heli.backend.api.period import make_node
from heli.backend.live import Wants
from heli.backend.queries.request_list import which_match
from heli.backend.queries.scope import Scope
from heli.schema.live import LiveEvent, LiveKind

TOTALS_S = 2.0
KEEP_ALIVE_S = 15.0

router = APIRouter(tags=["Live"])

Filter = Annotated[
    str, Query(description="only finished requests that this filter lets through", max_length=16_384)
]


@router.get(
    "/v1/live",
    summary="Follow calls as they happen",
    response_class=StreamingResponse,
    responses=tells(LiveEvent, "Events", media_type="text/event-stream"),
)
async def live(here: Here, filter: Filter = "") -> StreamingResponse:
    """Server-sent events: `started`, `streaming` and `finished` (a LiveEvent each), `totals` every 2 seconds.

    Best effort: a listener that is too slow misses events. With a filter only finished requests are told of,
    as a call in flight is not known well enough to be judged.
    """
    scope = here.scope(make_node(filter)) if filter.strip() else None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(follow(here, scope), media_type="text/event-stream", headers=headers)


async def follow(here: Parts, scope: Scope | None) -> AsyncIterator[bytes]:
    """The feed's bytes, until the hub closes."""
    with here.hub.subscribe(_wants(scope)) as subscription:
        kept_alive_at = told_at = 0.0
        while True:
            now = time.monotonic()
            if now - told_at >= TOTALS_S:
                told_at = now
                yield frame("totals", here.hub.totals())
            if now - kept_alive_at >= KEEP_ALIVE_S:
                kept_alive_at = now
                yield b": keep-alive\n\n"
            events = await subscription.batch(max(0.0, told_at + TOTALS_S - now))
            if events is None:
                return
            if scope is not None and events:
                events = await asyncio.to_thread(_matching, here, scope, events)
            if events:
                yield b"".join(frame(event.kind.value, event) for event in events)


def frame(name: str, data: msgspec.Struct) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(data))


def _wants(scope: Scope | None) -> Wants:
    return (lambda event: True) if scope is None else (lambda event: event.kind is LiveKind.FINISHED)


def _matching(here: Parts, scope: Scope, events: list[LiveEvent]) -> list[LiveEvent]:
    """Ask the log, so that a filter means here what it means everywhere."""
    requests = [event.request for event in events if event.request is not None]
    ids = which_match(here.log, scope, requests)
    return [event for event in events if event.request is not None and event.request.id in ids]

"""The live feed, as server-sent events."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from heli.backend.api.answers import encode, tells
from heli.backend.api.parts import Here, Parts
from heli.backend.api.period import make_node
from heli.backend.api.requests import SideCalls
from heli.backend.api.selection import Selection, everything
from heli.schema.live import LiveEvent

TOTALS_S = 2.0
KEEP_ALIVE_S = 15.0

router = APIRouter(tags=["Live"])

Filter = Annotated[str, Query(description="only calls that this filter lets through", max_length=16_384)]


@router.get(
    "/v1/live",
    summary="Follow calls as they happen",
    response_class=StreamingResponse,
    responses=tells(LiveEvent, "Events", media_type="text/event-stream"),
)
async def live(here: Here, filter: Filter = "", side_calls: SideCalls = True) -> StreamingResponse:
    """Server-sent events: `started`, `streaming` and `finished` (a LiveEvent each), `totals` every 2 seconds.

    Best effort: a listener that is too slow misses events. With a filter, a call in flight is told of unless
    what is known of it fails the filter; when it turns out to be none of those asked for, it is told to have
    `left`.
    """
    is_choosy = bool(filter.strip()) or not side_calls
    selection = Selection(here, make_node(filter, side_calls=side_calls)) if is_choosy else None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(follow(here, selection), media_type="text/event-stream", headers=headers)


async def follow(here: Parts, selection: Selection | None) -> AsyncIterator[bytes]:
    """The feed's bytes, until the hub closes."""
    choose = everything if selection is None else selection.choose
    with here.hub.subscribe(choose) as subscription:
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
            if selection is not None:
                events = await selection.settle(events)
            if events:
                yield b"".join(frame(event.kind.value, event) for event in events)


def frame(name: str, data: msgspec.Struct) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(data))

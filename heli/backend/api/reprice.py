"""Price the log again, and tell how far it is while it runs."""

import asyncio
import datetime
import logging
from collections.abc import AsyncIterator
from typing import Annotated

import pydantic
from fastapi import APIRouter
from starlette.responses import StreamingResponse

from heli.backend.api.answers import tells
from heli.backend.api.error_answers import ErrorDetail
from heli.backend.api.live import frame
from heli.backend.api.parts import Here, Parts
from heli.backend.api.period import make_node
from heli.backend.repricing import Repricing
from heli.providers import PriceBook
from heli.providers.pricing.price_override import parse_overrides
from heli.schema.errors import ConflictError, HeliError
from heli.schema.repricing import RepriceProgress

logger = logging.getLogger("heli.backend.reprice")

MAX_TABLE_CHARS = 4 * 1024 * 1024

router = APIRouter(tags=["Costs"])


class PriceFile(pydantic.BaseModel):
    """A price file as its text, in the form of prices.toml."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: Annotated[str, pydantic.Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    text: Annotated[str, pydantic.Field(max_length=MAX_TABLE_CHARS)]


class Reprice(pydantic.BaseModel):
    """Which calls, and at which prices. Without `write` it only looks."""

    model_config = pydantic.ConfigDict(extra="forbid")

    filter: Annotated[str, pydantic.Field(max_length=16_384)] = ""
    since: Annotated[str, pydantic.Field(max_length=100)] = ""
    until: Annotated[str, pydantic.Field(max_length=100)] = ""
    table: PriceFile | None = None
    """Its prices go before all others."""
    date: datetime.date | None = None
    """The day whose prices count; that of each call when it is left out."""
    write: bool = False


@router.post(
    "/v1/reprice",
    summary="Price calls again",
    response_class=StreamingResponse,
    responses=tells(RepriceProgress, "Events", media_type="text/event-stream"),
)
async def reprice(here: Here, asked: Reprice) -> StreamingResponse:
    """Server-sent events: `progress` (a RepriceProgress) now and then, at the end `done` (a RepriceReport),
    or `failed` with the error. One at a time; who hangs up stops it, and what was written until then stays.
    """
    run = await asyncio.to_thread(_prepare, here, asked)
    if not here.repricing.acquire(blocking=False):
        raise ConflictError("the log is being priced again already", "try again when that has ended")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(follow(here, run), media_type="text/event-stream", headers=headers)


def _prepare(here: Parts, asked: Reprice) -> Repricing:
    """Raises `UsageError` for a filter, a time or a price file that is wrong."""
    scope = here.scope(make_node(asked.filter, asked.since, asked.until))
    overrides = here.own_prices()
    if asked.table is not None:
        name = asked.table.name
        overrides = overrides.before(parse_overrides(asked.table.text, name, source=f"table {name}"))
    prices = PriceBook(overrides, day=asked.date)
    return Repricing(
        here.log,
        here.bodies,
        prices,
        scope,
        writes=asked.write,
        between_batches=here.door.do_between_batches,
    )


async def follow(here: Parts, run: Repricing) -> AsyncIterator[bytes]:
    """The run's events. The lock is given back when its last step has ended, whoever listens."""
    step: asyncio.Future[RepriceProgress | None] | None = None
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(run.step))
            progress = await asyncio.shield(step)
            if progress is None:
                break
            yield frame("progress", progress)
        yield frame("done", run.report())
    except HeliError as error:
        yield frame("failed", ErrorDetail(code=error.code, message=error.message, hint=error.hint))
    except Exception:
        logger.exception("pricing again failed")
        yield frame(
            "failed", ErrorDetail(code="failure", message="pricing again failed; see the backend's log")
        )
    finally:
        if step is None or step.done():
            here.repricing.release()
        else:
            step.add_done_callback(lambda _: here.repricing.release())

"""Is it alive, is it ready: the answers, also while the API is not loaded yet."""

import asyncio

import msgspec
from starlette.responses import Response

from heli.backend.api.answers import Json
from heli.backend.api.error_answers import error_answer
from heli.backend.readiness import Readiness

PATIENCE_S = 2.0


class Status(msgspec.Struct, frozen=True):
    """`ok`."""

    status: str


def alive() -> Response:
    return Json(Status("ok"))


async def ready_or_not(*stores: Readiness) -> Response:
    """Asks the stores now; a store that is slow to answer counts as it did before."""
    await asyncio.gather(*(store.look(PATIENCE_S) for store in stores))
    trouble = next((store.trouble for store in stores if store.trouble), None)
    if trouble is None:
        return Json(Status("ok"))
    answer = error_answer(trouble)
    answer.status_code = 503
    return answer

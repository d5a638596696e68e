"""What was spent."""

import zoneinfo
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from heli.backend.api.answers import Json, tells
from heli.backend.api.parts import Here
from heli.backend.api.period import make_node
from heli.backend.api.requests import Filter, Since, Until
from heli.backend.queries.costs import CostReport, find_zone, spend_report

router = APIRouter(tags=["Costs"])

By = Annotated[
    str,
    Query(
        description="model, provider, user, session, agent, property:<name>, hour, day, month;"
        " several with commas",
        max_length=500,
    ),
]
Zone = Annotated[
    str, Query(description="the IANA time zone in which days begin, such as Europe/Berlin", max_length=100)
]


@router.get("/v1/costs", summary="Sum up costs", responses=tells(CostReport, "Exact sums"))
def costs(
    here: Here, by: By = "", filter: Filter = "", since: Since = "", until: Until = "", tz: Zone = "UTC"
) -> Response:
    """Costs and tokens by group. Requests of unknown cost are counted apart and never summed as zero."""
    zone: zoneinfo.ZoneInfo = find_zone(tz)
    scope = here.scope(make_node(filter, since, until, zone))
    words = [word.strip() for word in by.split(",") if word.strip()]
    return Json(spend_report(here.log, scope, words, zone))

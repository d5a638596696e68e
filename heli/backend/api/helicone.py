"""Helicone's routes for requests, in Helicone's shapes: the envelope, the codes, the names of fields."""

import json
from typing import Annotated, Any
from uuid import UUID

import pydantic
from fastapi import APIRouter, Query
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from heli.backend.api.answers import Json, Result, tells
from heli.backend.api.parts import Here, Parts
from heli.backend.queries.helicone_list import COLUMNS, list_rows
from heli.backend.queries.helicone_request import NO_BODIES, BodyReader, HeliconeRequest, helicone_request
from heli.backend.queries.refs import find_key
from heli.backend.queries.request_list import count_requests, find_keys, rows_of
from heli.backend.queries.scope import Scope
from heli.schema.errors import NotFoundError

MAX_OFFSET = 2**31

router = APIRouter(prefix="/v1/request", tags=["Helicone: requests"])

type FilterTree = str | dict[str, Any]


class Asked(pydantic.BaseModel):
    """What every body here has in common: names are Helicone's, others are refused, text is Unicode."""

    model_config = pydantic.ConfigDict(extra="forbid", alias_generator=to_camel)

    @pydantic.model_validator(mode="before")
    @classmethod
    def refuse_broken_text(cls, body: Any) -> Any:
        """JSON can spell half a character, which nothing behind this could pass on."""
        try:
            json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("the body holds half a character (a lone surrogate)") from error
        return body


class RequestQueryParams(Asked, strict=True):
    """What to list. Only the first known key of `sort` counts."""

    filter: FilterTree
    offset: int = pydantic.Field(0, ge=0, le=MAX_OFFSET)
    limit: int = 10
    sort: dict[str, Any] = {"created_at": "desc"}
    is_cached: bool | None = None
    include_inputs: bool | None = None
    is_part_of_experiment: bool | None = None
    is_scored: bool | None = None


class RequestIds(Asked):
    """Which requests to give."""

    request_ids: list[UUID] = pydantic.Field(max_length=1000)


class HeliconeRequests(Result, frozen=True, kw_only=True):
    """Requests in Helicone's envelope."""

    data: list[HeliconeRequest] | None


class OneHeliconeRequest(Result, frozen=True, kw_only=True):
    """A request in Helicone's envelope; `data` is null for an id that nobody knows."""

    data: HeliconeRequest | None


class Count(Result, frozen=True, kw_only=True):
    """A number in Helicone's envelope."""

    data: int | None


@router.post(
    "/query-clickhouse",
    status_code=201,
    summary="List requests",
    responses=tells(HeliconeRequests, "Requests", 201),
)
def query_clickhouse(here: Here, asked: RequestQueryParams) -> Response:
    """Requests that the filter tree lets through, sorted, by offset, with their bodies."""
    rows = list_rows(here.log, _scope(here, asked), asked.sort, asked.offset, asked.limit)
    return Json(Result(data=_with_bodies(here, rows)), status_code=201)


@router.post(
    "/query",
    status_code=201,
    summary="List requests (older name)",
    responses=tells(HeliconeRequests, "Requests", 201),
)
def query(here: Here, asked: RequestQueryParams) -> Response:
    """The same as `query-clickhouse`."""
    return query_clickhouse(here, asked)


@router.post("/count/query", summary="Count requests", responses=tells(Count, "How many"))
def count_query(here: Here, asked: RequestQueryParams) -> Response:
    """How many requests the filter tree lets through; only `filter` counts."""
    return Json(Result(data=count_requests(here.log, here.scope(asked.filter))))


@router.post(
    "/query-ids", summary="Show requests by id", responses=tells(HeliconeRequests, "Those that exist")
)
def query_ids(here: Here, asked: RequestIds) -> Response:
    """The requests with these ids; ids that nobody knows are left out."""
    scope = here.scope().and_also(
        "request_id IN {ids:Array(UUID)}", ids=[str(id) for id in asked.request_ids]
    )
    keys = find_keys(here.log, scope, len(asked.request_ids)) if asked.request_ids else []
    return Json(Result(data=_with_bodies(here, rows_of(here.log, scope, keys, COLUMNS))))


@router.get(
    "/{request_id}", summary="Show a request", responses=tells(OneHeliconeRequest, "The request, or null")
)
def show(here: Here, request_id: UUID, includeBody: Annotated[bool, Query()] = False) -> Response:  # noqa: N803
    """One request by its id."""
    scope = here.scope()
    try:
        keys = [find_key(here.log, scope, str(request_id))]
    except NotFoundError:
        return Json(Result(data=None))
    rows = rows_of(here.log, scope, keys, COLUMNS)
    if includeBody:
        return Json(Result(data=next(iter(_with_bodies(here, rows)), None)))
    return Json(Result(data=next((helicone_request(row, NO_BODIES) for row in rows), None)))


def _scope(here: Parts, asked: RequestQueryParams) -> Scope:
    scope = here.scope(asked.filter)
    if asked.is_scored is None:
        return scope
    return scope.and_also("notEmpty(scores)" if asked.is_scored else "empty(scores)")


def _with_bodies(here: Parts, rows: list[dict[str, Any]]) -> list[HeliconeRequest]:
    reader = BodyReader(here.bodies)
    return [helicone_request(row, reader.read(row)) for row in rows]

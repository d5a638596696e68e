"""The backend's parts, put together: stores, ingest, live hub, API."""

import asyncio
import contextlib
import datetime
import functools
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID

import msgspec
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import heli
from heli.backend.api import (
    costs,
    errors,
    gateways,
    health,
    helicone,
    ingest,
    live,
    reprice,
    requests,
    sessions,
    statusline,
)
from heli.backend.api.document import describe
from heli.backend.api.guard import MAX_BODY_BYTES, Guard
from heli.backend.api.metrics import Metrics
from heli.backend.api.parts import Parts
from heli.backend.api.paths import HEARTBEAT_PATH, INGEST_PATH, LIVE_PATH, OPEN_PATH
from heli.backend.ingest.attribution import read_attribution
from heli.backend.ingest.door import IngestDoor
from heli.backend.ingest.own_session import own_session
from heli.backend.ingest.pipeline import Pipeline
from heli.backend.live import LiveHub
from heli.backend.own_prices import own_prices_file, read_own_prices
from heli.backend.queries.costs import Spend, spend_report
from heli.backend.queries.scope import scope_of
from heli.backend.session_spend import SessionSpend
from heli.backend.stores.packed_bodies import PackedBodyStore
from heli.backend.stores.request_log import RequestLog
from heli.backend.watched_stores import WatchedStores
from heli.providers import PriceBook, peek
from heli.providers.agents import read_agent
from heli.schema.errors import HeliError
from heli.schema.exchange import Exchange
from heli.schema.live import LiveCall
from heli.schema.paths import read_or_make_secret
from heli.schema.request import LOCAL_ORGANISATION
from heli.schema.settings import Loaded

BATCH_SLACK_BYTES = 16 * 1024 * 1024
HEARTBEAT_BYTES = 256 * 1024
SPENT_REFRESH_S = 30.0

DESCRIPTION = """Every call that programs make to a language model, as heli recorded it.

Times are RFC 3339 in UTC. Money is in US dollars, as JSON numbers with all their digits: read them as
decimals."""


def make_parts(loaded: Loaded, stores: WatchedStores | None = None) -> Parts:
    """All that the settings name, connected to nothing yet. Raises `UsageError` for a bad price file."""
    settings, paths = loaded.settings, loaded.paths
    stores = stores or WatchedStores.open(loaded)
    bodies = PackedBodyStore(paths.bodies)
    token = settings.backend.ingest_token or read_or_make_secret(paths.ingest_token)
    max_bytes = 2 * settings.gateway.capture_max_bytes + BATCH_SLACK_BYTES
    hub, metrics = LiveHub(look), Metrics()
    pipeline = Pipeline(stores.log, bodies, PriceBook.load(own_prices_file(loaded)))
    door = IngestDoor(pipeline, hub, token, max_bytes, metrics.count_batch)
    return Parts(
        log=stores.log,
        bodies=bodies,
        hub=hub,
        door=door,
        sessions=sum_up_sessions(stores.log, door, hub),
        readiness=stores.log_readiness,
        accounts=stores.accounts_readiness,
        metrics=metrics,
        own_prices=functools.partial(read_own_prices, loaded),
    )


def sum_up_sessions(
    log: RequestLog, door: IngestDoor, hub: LiveHub, organisation: UUID = LOCAL_ORGANISATION
) -> SessionSpend:
    """Running sums that follow what the door takes in."""

    async def ask(session_id: str) -> Spend:
        rows = scope_of(organisation).and_also("session_id = {session:String}", session=session_id)
        return await door.between_batches(lambda: spend_report(log, rows, []).total)

    sessions = SessionSpend(ask)
    hub.on_stored.append(sessions.add)
    return sessions


def watch(parts: Parts) -> None:
    """Gauges of what is now."""
    parts.metrics.watch("heli_live_subscribers", "Listeners of the live feed", lambda: parts.hub.subscribers)
    parts.metrics.watch(
        "heli_calls_in_flight", "Calls that began and did not end", lambda: parts.hub.in_flight
    )
    parts.metrics.watch("heli_gateways", "Gateways heard of lately", lambda: len(parts.hub.gateways))
    parts.metrics.watch("heli_ready", "1 when the stores answer", lambda: parts.is_ready)


def look(exchange: Exchange, told: LiveCall) -> LiveCall:
    """What can be told of a call in flight."""
    seen = peek(exchange)
    said = read_attribution(exchange.request_headers)
    session = own_session(said, read_agent(exchange.request_headers, None))
    first_us = exchange.first_byte_us
    return msgspec.structs.replace(
        told,
        provider=seen.provider,
        model=said.model_override or seen.model,
        session_id=session.id,
        session_path=session.path,
        status=exchange.response_status,
        time_to_first_token_ms=None if first_us is None else first_us / 1000,
        output_tokens_estimate=seen.output_tokens_estimate,
        preview="" if said.omit_request or said.omit_response else seen.text,
    )


def make_app(parts: Parts) -> FastAPI:
    """The API over these parts. The hub runs while it is up; the stores are watched by who opened them."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with parts.hub.running(), keep_spent(parts):
            yield
        parts.sessions.close()
        await asyncio.to_thread(parts.door.close)

    app = FastAPI(
        title="heli",
        version=heli.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    watch(parts)
    for part in (requests, sessions, costs, reprice, live, statusline, gateways, helicone, ingest, health):
        app.include_router(part.router)
    errors.install(app)
    limits = {
        INGEST_PATH: parts.door.max_bytes,
        OPEN_PATH: parts.door.max_bytes,
        LIVE_PATH: parts.door.max_bytes,
        HEARTBEAT_PATH: HEARTBEAT_BYTES,
    }
    app.add_middleware(Guard, max_body_bytes=MAX_BODY_BYTES, limits=limits)
    app.add_middleware(Timed, metrics=parts.metrics)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


class Timed:
    """ASGI middleware that counts calls by route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.count_call(scope["method"], route, status, time.perf_counter() - began)


@contextlib.asynccontextmanager
async def keep_spent(parts: Parts) -> AsyncIterator[None]:
    """Begin the live feed's sum of today with the log's, and correct it now and then."""
    task = asyncio.create_task(_keep_spent(parts))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _keep_spent(parts: Parts) -> None:
    while True:
        was_ready = parts.readiness.is_ready
        if was_ready:
            since = parts.hub.spent.since
            with contextlib.suppress(HeliError):
                known = await parts.door.between_batches(functools.partial(_spent_since, parts, since))
                known_usd = known.cost_usd or Decimal(0)
                parts.hub.spent.correct(known_usd, since, known.estimated_cost_requests)
        await asyncio.sleep(SPENT_REFRESH_S if was_ready else 0.25)


def _spent_since(parts: Parts, since: datetime.datetime) -> Spend:
    scope = parts.scope().and_also("created_at >= {since:DateTime64(6, 'UTC')}", since=since)
    return spend_report(parts.log, scope, []).total

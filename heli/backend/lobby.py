"""What stands at the backend's port: health is answered at once, all else when the API is loaded.

Loading the API and the prices takes longer than everything else at the start. It begins once the stores
answer, or earlier when somebody calls; who calls meanwhile is answered a moment later.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from heli.backend.api.error_answers import error_answer
from heli.backend.api.guard import MAX_BODY_BYTES, Guard
from heli.backend.api.health_answers import alive, ready_or_not
from heli.backend.api.paths import HEARTBEAT_PATH
from heli.backend.watched_stores import WatchedStores
from heli.schema.errors import UnreachableError

logger = logging.getLogger("heli.backend")

HEAD_START_S = 3.0
"""How long the stores have the machine for themselves at most."""

_LOADING = error_answer(UnreachableError("the backend's API is still being loaded", "wait a moment"))

type Load = Callable[[], Starlette]
"""Makes the API; blocks, for a second or so."""


class Lobby:
    """The ASGI app that uvicorn serves."""

    def __init__(self, stores: WatchedStores, load: Load) -> None:
        self.failure: Exception | None = None
        """Why the API cannot be loaded, if so."""
        self.on_failure: Callable[[], None] = lambda: None
        """Called then: without its API a backend is better ended, and started again."""
        self._stores = stores
        self._load = load
        self._is_wanted = asyncio.Event()
        self._is_closing = asyncio.Event()
        self._loaded = asyncio.Event()
        self._api: Starlette | None = None
        self._is_draining = False
        self._health = Starlette(
            routes=[Route("/healthcheck", self._alive), Route("/readyz", self._ready)],
            middleware=[Middleware(Guard, max_body_bytes=MAX_BODY_BYTES, limits={})],
            lifespan=self._lifespan,
        )
        self._paths = {"/healthcheck", "/readyz"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (self._api is None and scope["path"] in self._paths):
            await self._health(scope, receive, send)
            return
        if self._api is None and scope["path"] == HEARTBEAT_PATH:
            await _LOADING(scope, receive, send)  # it comes again, and must not hurry the loading
            return
        if self._api is None:
            self._is_wanted.set()
            await self._loaded.wait()
        answer = self._api or error_answer(UnreachableError("the backend could not be loaded", "see its log"))
        await answer(scope, receive, send)

    def drain(self) -> None:
        """End the live feeds, so that the calls at hand come to an end."""
        self._is_draining = True
        if self._api is not None:
            self._api.state.parts.hub.close()

    async def _alive(self, request: Request) -> Response:
        return alive()

    async def _ready(self, request: Request) -> Response:
        """Ready means quick: not before a call would be answered at once."""
        answer = await ready_or_not(self._stores.log_readiness, self._stores.accounts_readiness)
        return _LOADING if answer.status_code == 200 else answer

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self._stores.running():
            serving = asyncio.create_task(self._serve_api())
            yield
            self._is_closing.set()
            self._is_wanted.set()
            await serving

    async def _until_wanted(self) -> None:
        """Somebody calls, the stores are ready, or they take their time, which can be used."""
        waiting = [
            asyncio.ensure_future(step) for step in (self._is_wanted.wait(), self._stores.until_ready())
        ]
        await asyncio.wait(waiting, timeout=HEAD_START_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _serve_api(self) -> None:
        """Load it and keep it up until the end."""
        await self._until_wanted()
        if self._is_closing.is_set():
            return
        try:
            api = await asyncio.to_thread(self._load)
            async with api.router.lifespan_context(api):
                self._api = api
                if self._is_draining:
                    self.drain()
                self._loaded.set()
                await self._is_closing.wait()
        except Exception as error:
            self.failure = error
            logger.exception("the API could not be loaded")
            self.on_failure()
        finally:
            self._loaded.set()

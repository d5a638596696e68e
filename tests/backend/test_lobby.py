"""Health is answered before the API is loaded; other calls wait for it, and learn when it does not come."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from heli.backend import lobby as lobby_module
from heli.backend.lobby import Lobby
from heli.backend.readiness import Readiness
from heli.backend.watched_stores import WatchedStores
from heli.schema.errors import UnreachableError

HEAVY = (
    "fastapi",
    "pydantic",
    "sqlalchemy",
    "alembic",
    "genai_prices",
    "numpy",
    "pandas",
    "prometheus_client",
)


class Api:
    """An API that takes until `may_load` to be loaded, and notes what happens to it."""

    def __init__(self) -> None:
        self.may_load = threading.Event()
        self.happened: list[str] = []

    def load(self) -> Starlette:
        self.happened.append("loading")
        assert self.may_load.wait(30)
        return Starlette(
            routes=[Route("/readyz", self.answer), Route("/else", self.answer)], lifespan=self.life
        )

    async def answer(self, request: Request) -> Response:
        return PlainTextResponse("the API")

    @contextlib.asynccontextmanager
    async def life(self, app: Starlette) -> AsyncIterator[None]:
        self.happened.append("up")
        yield
        self.happened.append("down")


def refuse() -> None:
    raise UnreachableError("nobody answers")


def make_stores(prepare: Callable[[], None]) -> WatchedStores:
    fields: dict[str, Any] = {"log": None, "database": None}
    readiness = Readiness("request log", prepare, prepare)
    return WatchedStores(
        log_readiness=readiness,
        accounts_readiness=Readiness("accounts", lambda: None, lambda: None),
        **fields,
    )


@contextlib.contextmanager
def standing(
    load: Callable[[], Starlette], prepare: Callable[[], None]
) -> Iterator[tuple[Lobby, TestClient]]:
    lobby = Lobby(make_stores(prepare), load)
    with TestClient(lobby, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield lobby, client


def test_a_heartbeat_neither_waits_for_the_api_nor_hurries_it() -> None:
    api = Api()
    with standing(api.load, refuse) as (_, client):
        assert client.post("/v1/ingest/heartbeat", content=b"{}").status_code == 503
        assert api.happened == []
        api.may_load.set()


def test_health_is_told_while_the_api_is_loading_and_ready_means_loaded() -> None:
    api = Api()
    with standing(api.load, lambda: None) as (_, client):
        assert client.get("/healthcheck").json() == {"status": "ok"}
        loading = client.get("/readyz")
        assert (loading.status_code, loading.json()["error"]["code"]) == (503, "unreachable")
        assert "being loaded" in loading.json()["error"]["message"]
        assert client.get("/readyz", headers={"Host": "example.com"}).status_code == 403
        api.may_load.set()
        assert client.get("/else").text == "the API"
        assert client.get("/readyz").text == "the API"
    assert api.happened == ["loading", "up", "down"]


def test_stores_that_do_not_answer_are_told() -> None:
    api = Api()
    with standing(api.load, refuse) as (_, client):
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "nobody answers")
        assert api.happened == []


def test_a_call_is_answered_as_soon_as_the_api_is_there() -> None:
    api = Api()
    with standing(api.load, refuse) as (_, client), ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.get, "/else")
        assert not call.done()
        api.may_load.set()
        assert call.result(30).text == "the API"


def test_the_api_is_loaded_although_stores_take_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lobby_module, "HEAD_START_S", 0.01)
    loaded = threading.Event()

    def load() -> Starlette:
        loaded.set()
        return Starlette()

    with standing(load, refuse):
        assert loaded.wait(30)


def test_an_api_that_cannot_be_loaded_ends_the_backend(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Starlette:
        raise ImportError("no such module")

    ended = threading.Event()
    with standing(load, refuse) as (lobby, client):
        lobby.on_failure = ended.set
        answer = client.get("/else")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unreachable")
        assert ended.is_set()
        assert isinstance(lobby.failure, ImportError)
    assert "the API could not be loaded" in caplog.text


def test_what_is_not_needed_to_be_ready_is_not_loaded() -> None:
    look = f"import sys, heli.backend.service; print([name for name in {HEAVY!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"

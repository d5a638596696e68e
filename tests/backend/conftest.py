"""One store process for the tests of ingest, queries and API; each test has its own organisation in it."""

import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Response
from starlette.testclient import TestClient

from heli.backend.api.metrics import Metrics
from heli.backend.api.parts import Parts
from heli.backend.app import look, make_app, sum_up_sessions
from heli.backend.ingest.door import IngestDoor
from heli.backend.ingest.pipeline import Pipeline
from heli.backend.live import LiveHub
from heli.backend.readiness import Readiness
from heli.backend.stores.packed_bodies import PackedBodyStore
from heli.backend.stores.request_log import RequestLog
from heli.providers import PriceBook
from heli.schema.exchange import Exchange
from tests.backend.backend_builders import AUTHORIZED, TOKEN, a_batch
from tests.backend.stores.running_store import RunningStore


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    """The store process that the tests share. A test that ends it starts its own."""
    running = RunningStore(tmp_path_factory.mktemp("store"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def log(store: RunningStore) -> Iterator[RequestLog]:
    log = store.log()
    log.migrate()
    yield log
    log.close()


@pytest.fixture
def organisation() -> uuid.UUID:
    """An organisation that has no rows yet."""
    return uuid.uuid4()


@pytest.fixture(scope="session")
def prices() -> PriceBook:
    return PriceBook.load(None)


@dataclasses.dataclass(frozen=True)
class RunningBackend:
    """The API in this process, on the real store."""

    parts: Parts
    app: FastAPI
    client: TestClient

    def send(self, *exchanges: Exchange) -> dict[str, Any]:
        """Ingest a batch that must be taken; returns the answer."""
        response = self.post(a_batch(*exchanges))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def post(self, body: bytes) -> Response:
        response: Response = self.client.post("/v1/ingest", content=body, headers=AUTHORIZED)
        return response

    def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        response = self.client.get(path, params=parameters)
        assert response.status_code == status, response.text
        return response.json()


def make_test_parts(
    log: RequestLog, folder: Path, prices: PriceBook, organisation: uuid.UUID, **other: Any
) -> Parts:
    """Parts on this log, with bodies in `folder`; `other` replaces some of them."""
    hub, metrics, bodies = LiveHub(look), Metrics(), PackedBodyStore(folder)
    pipeline = other.pop("pipeline", None) or Pipeline(log, bodies, prices, organisation)
    door = IngestDoor(pipeline, hub, TOKEN, 4_000_000, metrics.count_batch)
    parts: dict[str, Any] = {
        "log": log,
        "bodies": bodies,
        "hub": hub,
        "door": door,
        "sessions": sum_up_sessions(log, door, hub, organisation),
        "readiness": Readiness("request log", log.migrate, log.ping),
        "accounts": Readiness("accounts database", lambda: None, lambda: None),
        "metrics": metrics,
        "organisation": organisation,
    }
    return Parts(**parts | other)


@pytest.fixture
def parts(log: RequestLog, tmp_path: Path, prices: PriceBook, organisation: uuid.UUID) -> Parts:
    return make_test_parts(log, tmp_path / "bodies", prices, organisation)


@pytest.fixture
def backend(parts: Parts) -> Iterator[RunningBackend]:
    app = make_app(parts)
    with TestClient(app, base_url="http://127.0.0.1:8585", raise_server_exceptions=False) as client:
        ready = client.get("/readyz")
        assert ready.status_code == 200, ready.text
        yield RunningBackend(parts, app, client)

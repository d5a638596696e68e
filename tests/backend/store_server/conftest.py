"""One store process serves all tests of a folder; each test has an organisation of its own in it."""

import uuid
from collections.abc import Iterator

import pytest

from heli.backend.stores.request_log import RequestLog
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

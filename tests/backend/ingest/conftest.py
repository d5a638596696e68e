"""What the tests of ingest share: real stores, and a pipeline that fills them."""

import uuid
from pathlib import Path

import pytest

from heli.backend.ingest.pipeline import Pipeline
from heli.backend.queries.scope import Scope, scope_of
from heli.backend.stores.packed_bodies import PackedBodyStore
from heli.backend.stores.request_log import RequestLog
from heli.providers import PriceBook


@pytest.fixture
def bodies(tmp_path: Path) -> PackedBodyStore:
    return PackedBodyStore(tmp_path / "bodies")


@pytest.fixture
def pipeline(
    log: RequestLog, bodies: PackedBodyStore, prices: PriceBook, organisation: uuid.UUID
) -> Pipeline:
    return Pipeline(log, bodies, prices, organisation)


@pytest.fixture
def scope(organisation: uuid.UUID) -> Scope:
    return scope_of(organisation)

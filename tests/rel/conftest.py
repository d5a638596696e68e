"""What the figures of the gateway share: a gateway before the stand-in, whose records go to a sink."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.rel.heli_under_test import HeliUnderTest
from tests.rel.ingest_sink import IngestSink
from tests.standin import StandIn


@dataclass(frozen=True, slots=True)
class Rig:
    """Calls to `heli.url()` reach `standin`; what was recorded of them arrives in `sink`."""

    heli: HeliUnderTest
    standin: StandIn
    sink: IngestSink


@pytest.fixture(scope="module")
def rig(_standin_process: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    _standin_process.reset()
    home = tmp_path_factory.mktemp("heli")
    with IngestSink() as sink, HeliUnderTest(home, _standin_process.url, backend_url=sink.url) as heli:
        yield Rig(heli, _standin_process, sink)

from collections.abc import Iterator

import pytest

from tests.proxy.intercept.rig import Rig, running
from tests.standin import StandIn


@pytest.fixture(scope="module")
def rig(_standin_process: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One gateway and one interceptor for the tests of a module; their providers are the stand-in."""
    _standin_process.reset()
    with running(tmp_path_factory.mktemp("heli"), _standin_process.url) as rig:
        yield rig

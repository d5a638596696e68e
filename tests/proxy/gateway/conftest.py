"""A gateway in front of the stand-in."""

from collections.abc import Iterator

import pytest

from tests.proxy.gateway.running import RunningGateway, running_gateway
from tests.standin import StandIn


@pytest.fixture
def gateway(standin: StandIn) -> Iterator[RunningGateway]:
    with running_gateway(standin) as running:
        yield running

"""Hands out a heli that does not run, and one that does, which all tests share that change nothing in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input.own_heli import OwnHeli, make_heli
from tests.standin import StandIn


@pytest.fixture
def idle(tmp_path: Path) -> OwnHeli:
    """Nothing of it runs, and its folder is not there."""
    return make_heli(tmp_path / "home")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, _standin_process: StandIn) -> Iterator[OwnHeli]:
    """A whole heli, with a few calls in its log."""
    home = tmp_path_factory.mktemp("shared") / "home"
    with make_heli(home, "store", "backend", "gateway", upstream=_standin_process.url) as heli:
        for _ in range(20):
            heli.call()
        heli.logged(20)
        yield heli

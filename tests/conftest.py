"""What tests of several parts share: the stand-in provider, and ports that nobody listens on."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:  # so that `tests.standin` can be imported however pytest was started
    sys.path.insert(0, str(ROOT))

from tests.rel.free_ports import find_free_ports  # noqa: E402
from tests.standin import StandIn, start_standin  # noqa: E402


def heed_signals() -> None:
    """What runs the tests in the background may have them ignore signals, and whatever they start, too."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


heed_signals()


@pytest.fixture(scope="session")
def _standin_process() -> Iterator[StandIn]:
    with start_standin() as standin:
        yield standin


@pytest.fixture
def standin(_standin_process: StandIn) -> StandIn:
    """The stand-in provider with an empty journal; one process serves all tests of a run."""
    _standin_process.reset()
    return _standin_process


@pytest.fixture
def free_ports() -> Callable[[int], list[int]]:
    """`free_ports(3)` gives three different ports that were free a moment ago."""
    return find_free_ports

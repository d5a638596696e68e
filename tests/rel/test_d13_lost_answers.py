"""D13: answers of ingest that get lost after the commit lead to no duplicate, in counts or in money.

The whole way is real: calls through the gateway, spool, shipper, backend, store. Only the answers of every
fifth batch never arrive.
"""

from pathlib import Path

import pytest

from heli.proxy.spool.survey import survey
from tests.rel.heli_under_test import HeliUnderTest, wait_until
from tests.rel.losing_proxy import LosingProxy
from tests.rel.priced_calls import COST_OF_ONE, make_calls
from tests.rel.read_back import ReadBack
from tests.rel.sizes import sized
from tests.standin import StandIn

CALLS = sized(600, 10_000)
LOST_EVERY = 5
CALLERS = 8


@pytest.mark.slow
@pytest.mark.timeout(sized(180, 1_800))
def test_lost_answers_double_nothing(standin: StandIn, tmp_path: Path) -> None:
    with HeliUnderTest(tmp_path, standin.url, "store", "backend") as heli:
        with LosingProxy(heli.ports["backend"], LOST_EVERY) as proxy:
            heli.environ["HELI_BACKEND__URL"] = proxy.url
            heli.start("gateway")
            heli.wait_ready("gateway")
            make_calls(heli.url(), CALLS, CALLERS)
            with ReadBack(heli.url("backend")) as log:
                wait_until(lambda: log.totals()[0] >= CALLS, 60, "every call in the log")
            wait_until(lambda: _is_shipped(heli), 60, "an empty spool")
            heli.end("gateway")
        print(f"D13: {proxy.passed} answers passed, {proxy.lost} lost")
        assert proxy.lost >= 2, "too few answers were lost to tell"
        with ReadBack(heli.url("backend")) as log:
            ids = [row["id"] for row in log.requests()]
            assert len(ids) == len(set(ids)) == CALLS
            assert log.totals() == (CALLS, COST_OF_ONE * CALLS)


def _is_shipped(heli: HeliUnderTest) -> bool:
    return all(status.records == 0 for status in survey(heli.home / "data" / "spool"))

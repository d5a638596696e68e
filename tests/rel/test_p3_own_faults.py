"""P3: whatever of heli's own fails, each call succeeds unchanged, and what was lost is counted.

The points of failure come from the gateway's own registry, so that a new one is covered from its first day.
"""

from pathlib import Path

import pytest

from heli.proxy.gateway.faults import FAULT_POINTS
from tests.rel.heli_under_test import HeliUnderTest, wait_until
from tests.rel.ingest_sink import IngestSink
from tests.rel.metrics import read_metrics
from tests.rel.raw_client import exchange, json_post
from tests.standin import StandIn

BODY = b'{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "Hello there"}]}'
# It lasts for several ticks of the recorder, so that it is opened and grows.
SLOW_STREAM = ("x-standin", '{"chunks": 8, "interval_ms": 30}')
PLAIN = ("x-standin", '{"text": "fine"}')
CALLS = 10
LOSES_RECORDS = set(FAULT_POINTS) - {"key", "tick", "sweep", "metrics", "open_record", "grow_record"}
"""Faults at these points cost the record of every call; the others only that of some."""


@pytest.mark.slow
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_calls_succeed_while_this_fails(standin: StandIn, tmp_path: Path, point: str) -> None:
    with (
        IngestSink() as sink,
        HeliUnderTest(tmp_path, standin.url, backend_url=sink.url, environ={"HELI_FAULT": point}) as heli,
    ):
        for scenario in [SLOW_STREAM, *[PLAIN] * (CALLS - 1)]:
            request = json_post("/v1/chat/completions", BODY, scenario)
            direct, through = exchange(standin.url, request), exchange(heli.url(), request)
            assert through.ending == direct.ending == "kept"
            assert through.final.line == direct.final.line
            assert through.final.body == direct.final.body
        if point == "metrics":
            return  # which is the one place to read the counters
        counted = wait_until(lambda: _faults(heli), 5, f"a fault at {point} in the counters")
        assert counted["own_faults"] >= 1
        if point in LOSES_RECORDS:
            assert counted["calls_unrecorded"] == CALLS
        else:
            recorded = sink.wait_for(CALLS - int(counted["calls_unrecorded"]))
            assert len(recorded) + counted["calls_unrecorded"] == CALLS


def _faults(heli: HeliUnderTest) -> dict[str, float]:
    counted = read_metrics(heli.ports["openai"])
    return counted if counted["own_faults"] else {}


def test_failing_metrics_answer_with_an_error_and_nothing_else_changes(
    standin: StandIn, tmp_path: Path
) -> None:
    with HeliUnderTest(tmp_path, standin.url, environ={"HELI_FAULT": "metrics"}) as heli:
        with pytest.raises(RuntimeError, match="500"):
            read_metrics(heli.ports["openai"])
        assert exchange(heli.url(), json_post("/v1/chat/completions", BODY, PLAIN)).final.status == 200

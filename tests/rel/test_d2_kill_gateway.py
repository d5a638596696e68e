"""D2: kill -9 of a gateway worker loses no exchange that was over, and leaves a trace of those in flight.

Calls go on at a steady rate. One whose last byte came more than 100 ms before the kill must be recorded as
whole, also when the disk had not synced for a second; one that had been in flight for as long must be
recorded as interrupted.
"""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from heli.schema.exchange import Exchange, Outcome
from tests.rel.heli_under_test import HeliUnderTest, wait_until
from tests.rel.ingest_sink import IngestSink
from tests.rel.raw_client import exchange, json_post
from tests.rel.reply_class import ReplyClass, classify
from tests.rel.sizes import seeded, sized
from tests.rel.stalls import has_compiler, stalling_environ
from tests.standin import StandIn

KILLS = sized(10, 100)
KILLS_WHILE_STALLED = sized(4, 30)
SEGMENT_BYTES = 200_000
"""Which is less than is written while the disk does not sync, so that segments end meanwhile."""
RATE = 50
GRACE_S = 0.1
BACK_WITHIN_S = 2.0
IN_FLIGHT_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Kill:
    """When it was, as near as we know: a busy machine may keep us waiting before it and behind it."""

    after: float
    before: float


@dataclass(slots=True)
class Called:
    """One call, as its client saw it."""

    case: str
    started_at: float
    ended_at: float = 0.0
    is_whole: bool = False


class Traffic(threading.Thread):
    """Calls at a steady rate, quick replies and streams of up to a second."""

    def __init__(self, url: str, chance: random.Random) -> None:
        super().__init__(name="traffic")
        self._url = url
        self._chance = chance
        self._is_stopped = threading.Event()
        self.calls: list[Called] = []

    def run(self) -> None:
        with ThreadPoolExecutor(64) as pool:
            due = time.monotonic()
            while not self._is_stopped.is_set():
                stream = self._chance.random() < 0.5
                scenario = (
                    {"chunks": self._chance.randrange(5, 25), "interval_ms": 40}
                    if stream
                    else {"text": "fine"}
                )
                pool.submit(self._call, str(len(self.calls)), stream, json.dumps(scenario)).add_done_callback(
                    lambda done: done.result()
                )
                due += 1 / RATE
                time.sleep(max(0.0, due - time.monotonic()))

    def _call(self, case: str, stream: bool, scenario: str) -> None:
        body = json.dumps({"model": "gpt-4o", "stream": stream, "messages": []}).encode()
        called = Called(case, time.time())
        self.calls.append(called)
        try:
            request = json_post("/v1/chat/completions", body, ("x-standin", scenario), ("x-case", case))
            answered = exchange(self._url, request)
        except OSError:
            called.case = ""  # it never reached the gateway
        else:
            called.is_whole = classify(answered)[0] is ReplyClass.WHOLE
        called.ended_at = time.time()

    def stop(self) -> list[Called]:
        self._is_stopped.set()
        self.join()
        return [call for call in self.calls if call.case]


@pytest.mark.slow
@pytest.mark.timeout(sized(180, 1_200))
def test_kill_9_of_the_worker_loses_nothing_that_was_over(standin: StandIn, tmp_path: Path) -> None:
    chance = seeded("D2")

    def kill(heli: HeliUnderTest) -> Kill:
        time.sleep(chance.uniform(1.0, 2.0))
        return _kill_worker(heli)

    _kill_again_and_again(standin, tmp_path, chance, [kill] * KILLS, {})


@pytest.mark.slow
@pytest.mark.timeout(sized(180, 1_200))
@pytest.mark.skipif(not has_compiler(), reason="stalls are made by a library in C")
def test_kill_9_while_the_disk_does_not_sync_loses_nothing_that_was_over(
    standin: StandIn, tmp_path: Path
) -> None:
    chance = seeded("D2")
    stall = tmp_path / "stall"

    def kill(heli: HeliUnderTest) -> Kill:
        time.sleep(chance.uniform(0.5, 1.0))
        stall.touch()
        time.sleep(chance.uniform(0.5, 1.5))
        try:
            return _kill_worker(heli)
        finally:
            stall.unlink()

    environ = stalling_environ(tmp_path) | {"HELI_SPOOL__SEGMENT_BYTES": str(SEGMENT_BYTES)}
    _kill_again_and_again(standin, tmp_path, chance, [kill] * KILLS_WHILE_STALLED, environ)


def _kill_again_and_again(
    standin: StandIn,
    folder: Path,
    chance: random.Random,
    kill_by: list[Callable[[HeliUnderTest], Kill]],
    environ: dict[str, str],
) -> None:
    with (
        IngestSink() as sink,
        HeliUnderTest(folder / "heli", standin.url, backend_url=sink.url, environ=environ) as heli,
    ):
        traffic = Traffic(heli.url(), random.Random(chance.random()))
        traffic.start()
        kills, back = [], []
        for kill in kill_by:
            kills.append(kill(heli))
            back.append(heli.wait_ready("gateway"))
        time.sleep(0.5)
        calls = traffic.stop()
        over = [call for call in calls if call.is_whole and not _is_hit(call, kills)]
        wait_until(
            lambda: {c.case for c in over} <= sink.by_header("x-case").keys(), 20, "every call that was over"
        )
        recorded = sink.by_header("x-case")
        print(f"D2: {len(calls)} calls, {len(kills)} kills, back after {max(back):.2f} s at most")
        _check_over(over, kills, recorded)
        _check_in_flight(calls, kills, recorded)
        assert sink.deliveries.total() == len(sink.exchanges), "something was delivered twice"


@pytest.mark.slow
def test_the_gateway_answers_again_soon(standin: StandIn, tmp_path: Path) -> None:
    """On a busy machine at least as soon as it did when it was started."""
    heli = HeliUnderTest(tmp_path, standin.url)
    started = time.monotonic()
    with heli:
        start_s = time.monotonic() - started
        back = []
        for _ in range(3):
            _kill_worker(heli)
            back.append(heli.wait_ready("gateway"))
        print(f"D2: started in {start_s:.2f} s, answered again after {max(back):.2f} s at most")
        assert max(back) <= max(BACK_WITHIN_S, 1.5 * start_s)


def _kill_worker(heli: HeliUnderTest) -> Kill:
    pid = wait_until(lambda: list(heli.workers().values()), 5, "a worker to kill")[0]
    after = time.time()
    os.kill(pid, signal.SIGKILL)
    return Kill(after, time.time())


def _is_hit(call: Called, kills: list[Kill]) -> bool:
    """Whether a kill was so near behind the last byte, as far as its caller can tell, or before it."""
    return any(call.started_at <= kill.before and kill.after <= call.ended_at + GRACE_S for kill in kills)


def _seconds_to_kill(call: Called, kills: list[Kill]) -> float:
    return min((kill.after - call.ended_at for kill in kills if kill.after > call.ended_at), default=-1.0)


def _check_over(over: list[Called], kills: list[Kill], recorded: dict[str, Exchange]) -> None:
    told = [
        f"{call.case} is {recorded[call.case].outcome.value}, {_seconds_to_kill(call, kills):.3f} s before"
        for call in over
        if recorded[call.case].outcome is not Outcome.COMPLETE
    ]
    assert told == []
    assert len(over) > RATE


def _check_in_flight(calls: list[Called], kills: list[Kill], recorded: dict[str, Exchange]) -> None:
    in_flight = [
        call
        for call in calls
        if not call.is_whole
        and any(
            call.started_at + GRACE_S < kill.after and kill.before < call.ended_at + 0.05 for kill in kills
        )
    ]
    traced = [
        call
        for call in in_flight
        if call.case in recorded and recorded[call.case].outcome is Outcome.INTERRUPTED
    ]
    print(f"D2: {len(in_flight)} in flight at a kill, {len(traced)} of them recorded as interrupted")
    assert len(in_flight) >= len(kills)
    assert len(traced) >= IN_FLIGHT_SHARE * len(in_flight)

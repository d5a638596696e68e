"""B1, the soak: an hour of mixed calls at a steady rate, and whether memory, files or threads creep.

    python -m tests.rel.soak                 # an hour; --minutes 5 for a taste
    python -m tests.rel.soak --parts all     # with backend and store instead of a sink

Callers keep their connections; replies are plain, streamed, compressed, big and failing. The first sixth of
the time is warm-up. Ends with `N passed, N failed` and the exit code 0 or 1.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from tests.rel import probe
from tests.rel.heli_under_test import HeliUnderTest, wait_until
from tests.rel.ingest_sink import IngestSink
from tests.rel.read_back import ReadBack
from tests.rel.sizes import seeded
from tests.standin import StandIn, start_standin

MAX_SLOPE_BYTES_PER_HOUR = 2 * probe.MIB
SCENARIOS = (
    {"text": "fine"},
    {"chunks": 20, "interval_ms": 10},
    {"encoding": "gzip", "chunks": 10},
    {"encoding": "zstd"},
    {"status": 429},
    {"status": 500},
    {"body_bytes": 300_000},
)


class Caller(threading.Thread):
    """One program that calls again and again over one connection."""

    def __init__(self, port: int, chance: random.Random, pause_s: float, until: float) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._chance = chance
        self._pause_s = pause_s
        self._until = until
        self.calls = 0
        self.errors: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while time.monotonic() < self._until:
            try:
                self._call(connection)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.errors.append(repr(error))
                connection.close()
            self.calls += 1
            time.sleep(self._chance.expovariate(1 / self._pause_s))
        connection.close()

    def _call(self, connection: http.client.HTTPConnection) -> None:
        scenario = self._chance.choice(SCENARIOS)
        stream = self._chance.random() < 0.5
        text = "word " * self._chance.randrange(1, 2_000)
        messages = [{"role": "user", "content": text}]
        body = json.dumps({"model": "gpt-4o-mini", "stream": stream, "messages": messages})
        headers = {"content-type": "application/json", "x-standin": json.dumps(scenario)}
        connection.request("POST", "/v1/chat/completions", body, headers)
        reply = connection.getresponse()
        reply.read()
        wanted = scenario.get("status", 200)
        assert reply.status == wanted, f"{reply.status} instead of {wanted}"


type Samples = dict[str, list[tuple[float, probe.Reading]]]


def watch(heli: HeliUnderTest, parts: list[str], warm_s: float, until: float) -> Samples:
    """A reading of every process each few seconds, after the warm-up."""
    samples: Samples = defaultdict(list)
    began = time.monotonic()
    every = max(1.0, (until - began) / 400)
    while time.monotonic() < until:
        time.sleep(every)
        at = time.monotonic() - began
        if at < warm_s:
            continue
        for part in parts:
            for pid in probe.tree(heli.pid(part)):
                samples[f"{part}/{pid}"].append((at, probe.read(pid)))
    return samples


def slope(points: list[tuple[float, float]]) -> float:
    """Of the line that fits best (least squares), per second."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def judge(samples: Samples) -> list[tuple[str, bool]]:
    """A verdict for each process: `(what, is it good)`."""
    verdicts = []
    for name, readings in sorted(samples.items()):
        per_hour = slope([(at, reading.rss_bytes) for at, reading in readings]) * 3600
        last = readings[-1][1]
        files = slope([(at, reading.open_files) for at, reading in readings]) * 3600
        threads = max(r.threads for _, r in readings) - min(r.threads for _, r in readings)
        text = (
            f"{name}: {last.rss_bytes / probe.MIB:.0f} MiB, {per_hour / probe.MIB:+.2f} MiB/h, "
            f"{last.open_files} files ({files:+.1f}/h), {last.threads} threads (spread {threads})"
        )
        verdicts.append((text, per_hour <= MAX_SLOPE_BYTES_PER_HOUR and files < 10 and threads <= 4))
    return verdicts


def soak(minutes: float, rate: float, callers: int, parts: list[str]) -> list[tuple[str, bool]]:
    chance = seeded("B1")
    with ExitStack() as stack:
        standin = stack.enter_context(start_standin())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = stack.enter_context(IngestSink(counts_only=True)) if "backend" not in parts else None
        heli = HeliUnderTest(home, standin.url, *parts, backend_url=sink.url if sink else "")
        stack.enter_context(heli)
        until = time.monotonic() + minutes * 60
        crowd = [
            Caller(heli.ports["openai"], random.Random(chance.random()), callers / rate, until)
            for _ in range(callers)
        ]
        resetter = threading.Thread(target=_keep_journal_short, args=(standin, until), daemon=True)
        for thread in (*crowd, resetter):
            thread.start()
        samples = watch(heli, parts, minutes * 10, until)
        for thread in (*crowd, resetter):
            thread.join()
        calls = sum(caller.calls for caller in crowd)
        errors = [error for caller in crowd for error in caller.errors]
        recorded = _recorded(heli, sink, calls)
        return [
            *judge(samples),
            (f"{calls} calls, {len(errors)} errors {errors[:3]}", not errors),
            (f"{recorded} of {calls} calls recorded", recorded == calls),
        ]


def _keep_journal_short(standin: StandIn, until: float) -> None:
    while time.monotonic() < until:
        time.sleep(min(30, max(0.1, until - time.monotonic())))
        standin.reset()


def _recorded(heli: HeliUnderTest, sink: IngestSink | None, calls: int) -> int:
    if sink is not None:
        wait_until(lambda: len(sink.deliveries) >= calls, 60, f"{calls} records")
        return len(sink.deliveries)
    with ReadBack(heli.url("backend")) as log:
        wait_until(lambda: log.totals()[0] >= calls, 120, f"{calls} rows")
        return log.totals()[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rel.soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=60, help="calls a second, all callers together")
    parser.add_argument("--callers", type=int, default=24)
    parser.add_argument("--parts", choices=["gateway", "all"], default="gateway")
    options = parser.parse_args()
    parts = ["gateway"] if options.parts == "gateway" else ["store", "backend", "gateway"]
    verdicts = soak(options.minutes, options.rate, options.callers, parts)
    for text, is_good in verdicts:
        print("ok  " if is_good else "FAIL", text)
    failed = sum(not is_good for _, is_good in verdicts)
    print(f"{len(verdicts) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""B1, the soak: an hour of mixed traffic at a steady rate, and whether memory, files or threads creep.

    python -m tests.rel.soak                 # an hour; --minutes 5 for a taste
    python -m tests.rel.soak --parts all     # with backend and store instead of a sink

Callers keep their connections, some to the gateway, some through the interceptor; replies are plain,
streamed, compressed, big and failing. Beside them WebSockets go through the interceptor that last all the
while: one is busy, one is compressed, one is silent but for a message now and then. The first sixth of the
time is warm-up. Ends with `N passed, N failed` and the exit code 0 or 1.
"""

import argparse
import random
import ssl
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from heli.proxy.intercept.bundle import make_bundle
from heli.schema.exchange import Outcome
from heli.schema.paths import Paths
from tests.proxy.intercept.rig import NO_PROXY_SET
from tests.rel import probe
from tests.rel.heli_under_test import HeliUnderTest, wait_until
from tests.rel.ingest_sink import IngestSink
from tests.rel.read_back import ReadBack
from tests.rel.sizes import seeded
from tests.rel.soak_callers import Caller, Talk, by_gateway, by_interceptor
from tests.standin import StandIn, start_standin

MAX_SLOPE_BYTES_PER_HOUR = 2 * probe.MIB
MAX_SILENCE_S = 540.0
"""What a connection that heli carries must survive without a byte."""

type Verdict = tuple[str, bool]
"""What was found, and whether it is good."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much goes through heli at once."""

    minutes: float
    rate: float = 60
    """Calls a second to the gateway, of all callers together."""
    callers: int = 24
    intercepted_rate: float = 10
    intercepted_callers: int = 6
    frames_per_s: float = 20
    """Messages of 64 KiB on the WebSocket that is busy."""

    @property
    def seconds(self) -> float:
        return self.minutes * 60


class Crowd:
    """Everybody who keeps heli busy."""

    def __init__(self, heli: HeliUnderTest, load: Load, until: float) -> None:
        chance = seeded("B1")
        context = ssl.create_default_context(cafile=str(make_bundle(Paths.from_environ(heli.environ), {})))
        port = heli.ports["intercept"]
        opened = [
            *[(partial(by_gateway, heli.ports["openai"]), load.callers / load.rate)] * load.callers,
            *[(partial(by_interceptor, port, context), load.intercepted_callers / load.intercepted_rate)]
            * load.intercepted_callers,
        ]
        self._callers = [Caller(way, random.Random(chance.random()), pause, until) for way, pause in opened]
        talk = partial(Talk, proxy=f"http://127.0.0.1:{port}", context=context, until=until)
        self.talks = [
            talk("busy", every_s=1 / load.frames_per_s),
            talk("compressed", every_s=10 / load.frames_per_s, deflate=True),
            talk("silent", every_s=min(MAX_SILENCE_S, load.seconds / 6), pings=False),
        ]

    def start(self) -> None:
        for thread in (*self._callers, *self.talks):
            thread.start()

    def join(self) -> None:
        for thread in (*self._callers, *self.talks):
            thread.join()

    @property
    def calls(self) -> int:
        """Exchanges that must be recorded: a WebSocket is one."""
        return sum(caller.calls for caller in self._callers) + len(self.talks)

    @property
    def errors(self) -> list[str]:
        failed = [*(caller.errors for caller in self._callers), *(talk.errors for talk in self.talks)]
        return [error for errors in failed for error in errors]


type Samples = dict[str, list[tuple[float, probe.Reading]]]


def watch(heli: HeliUnderTest, parts: list[str], warm_s: float, until: float) -> Samples:
    """A reading of every process each few seconds, after the warm-up."""
    samples: Samples = defaultdict(list)
    began = time.monotonic()
    every = max(1.0, (until - began) / 400)
    while time.monotonic() < until - every:
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


def judge(samples: Samples) -> list[Verdict]:
    """A verdict for each process."""
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


def soak(load: Load, parts: list[str]) -> tuple[list[Verdict], list[Verdict]]:
    """Run it; the verdicts on the processes, whose slopes need time, and those on the traffic."""
    with ExitStack() as stack:
        standin = stack.enter_context(start_standin())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = IngestSink(lambda exchange: exchange.is_websocket) if "backend" not in parts else None
        if sink:
            stack.enter_context(sink)
        heli = HeliUnderTest(
            home, standin.url, *parts, backend_url=sink.url if sink else "", environ=NO_PROXY_SET
        )
        stack.enter_context(heli)
        until = time.monotonic() + load.seconds
        crowd = Crowd(heli, load, until)
        resetter = threading.Thread(target=_keep_journal_short, args=(standin, until), daemon=True)
        crowd.start()
        resetter.start()
        samples = watch(heli, parts, load.seconds / 6, until)
        crowd.join()
        resetter.join()
        recorded = _recorded(heli, sink, crowd.calls)
        return judge(samples), [
            (f"{crowd.calls} calls, {len(crowd.errors)} errors {crowd.errors[:3]}", not crowd.errors),
            (f"{recorded} of {crowd.calls} calls recorded", recorded == crowd.calls),
            *(_judge_talk(talk, sink) for talk in crowd.talks),
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


def _judge_talk(talk: Talk, sink: IngestSink | None) -> Verdict:
    """That it lasted, and its record tells all that passed."""
    text = f"WebSocket {talk.name}: {talk.messages} messages in {talk.minutes:.1f} min"
    has_lasted = talk.has_lasted and talk.messages > 1
    if sink is None:
        return text, has_lasted
    record = sink.by_header("x-case")[talk.name]
    told = min(record.request_body_bytes, record.response_body_bytes)
    is_told = 0 < told < talk.payload_bytes if talk.is_compressed else told >= talk.payload_bytes
    text = f"{text}, {record.outcome.value}, {told / probe.MIB:.1f} MiB each way in the record"
    return text, has_lasted and record.outcome is Outcome.COMPLETE and is_told


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rel.soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=60, help="calls a second, all callers together")
    parser.add_argument("--callers", type=int, default=24)
    parser.add_argument("--parts", choices=["proxies", "all"], default="proxies")
    options = parser.parse_args()
    proxies = ["gateway", "intercept"]
    parts = proxies if options.parts == "proxies" else ["store", "backend", *proxies]
    processes, traffic = soak(Load(options.minutes, options.rate, options.callers), parts)
    verdicts = [*processes, *traffic]
    for text, is_good in verdicts:
        print("ok  " if is_good else "FAIL", text)
    failed = sum(not is_good for _, is_good in verdicts)
    print(f"{len(verdicts) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""P7: many streams of an event a second on one interceptor: none is lost, out of order or late.

How late an event is, is told beside that of a few streams that go directly from the same provider to the same
client, as the machine is shared and provider and client have their own delays.
"""

import asyncio
import contextlib
import re
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.proxy.intercept.rig import Rig, running
from tests.rel import probe
from tests.rel.sizes import sized
from tests.rel.test_p7_intercepted_streams import _through
from tests.standin.process import ROOT

STREAMS = sized(200, 1_000)
DIRECT = 20
OPENED_PER_S = sized(50, 40)
WARM = 50
"""Streams that have passed before memory is looked at."""
EVENTS = sized(8, 300)
EVERY_S = 1.0
SLACK = sized(2, 1)
"""A few streams bear the whole of what the process grows by; and a shared machine is late."""
MOST_ADDED_S = 0.25
MOST_BYTES_PER_STREAM = 64 * 1024


@pytest.fixture(scope="module")
def source() -> Iterator[int]:
    """The provider's port."""
    command = [sys.executable, "-m", "tests.rel.clocked_source"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate()


@pytest.fixture(scope="module")
def rig(source: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("heli"), f"http://127.0.0.1:{source}") as rig:
        yield rig


@asynccontextmanager
async def _direct(port: int) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _request(events: int, every_s: float) -> bytes:
    body = b'{"model": "gpt-4o-mini", "stream": true, "messages": []}'
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: api.openai.com",
        "Content-Type: application/json",
        f"x-events: {events}",
        f"x-every-ms: {every_s * 1000:.0f}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _read(streams: Any, events: int, every_s: float) -> list[float]:
    """One call; how late each event came, in seconds. Fails unless all came, in order, to the end."""
    reader, writer = streams
    writer.write(_request(events, every_s))
    late: list[float] = []
    rest = b""
    while not rest.endswith(b"0\r\n\r\n"):
        piece = await asyncio.wait_for(reader.read(65536), 60)
        assert piece, f"the stream broke off after {len(late)} events"
        now = time.monotonic_ns()
        *whole, rest = (rest + piece).split(b"\n\n")
        for each in whole:
            found = re.search(rb'"content": "(\d+) (\d+)"', each)
            assert found, each
            assert int(found[1]) == len(late), "an event is lost or out of order"
            late.append((now - int(found[2])) / 1e9)
    assert len(late) == events
    return late


class FanOut:
    """All the streams of the figure at once."""

    def __init__(self, rig: Rig, port: int, context: ssl.SSLContext) -> None:
        self._rig = rig
        self._port = port
        self._context = context
        self._open = 0
        self._all_open = asyncio.Event()
        self.through: list[float] = []
        self.direct: list[float] = []
        self.held: dict[str, float] = {}
        """Bytes of memory for each stream, once all are open."""

    async def run(self) -> None:
        await asyncio.gather(*(self._intercepted(0.0, 2, 0.01) for _ in range(WARM)))
        self.through.clear()
        before = self._rss()
        async with asyncio.TaskGroup() as group:
            for number in range(STREAMS):
                group.create_task(self._intercepted(number / OPENED_PER_S, EVENTS, EVERY_S))
            for number in range(DIRECT):
                group.create_task(self._directly(number / OPENED_PER_S))
            await self._all_open.wait()
            self.held = {name: (now - before[name]) / STREAMS for name, now in self._rss().items()}

    def _rss(self) -> dict[str, int]:
        pids = {"interceptor": self._rig.heli.pid("intercept"), "gateway": self._rig.heli.worker()}
        return {name: probe.read(pid).rss_bytes for name, pid in pids.items()}

    async def _intercepted(self, after_s: float, events: int, every_s: float) -> None:
        await asyncio.sleep(after_s)
        async with _through(self._rig, self._context) as streams:
            self._open += events == EVENTS
            if self._open == STREAMS:
                self._all_open.set()
            self.through += await _read(streams, events, every_s)

    async def _directly(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        async with _direct(self._port) as streams:
            self.direct += await _read(streams, EVENTS, EVERY_S)


def _p99(late: list[float]) -> float:
    return statistics.quantiles(late, n=100)[98]


def _told(late: list[float]) -> str:
    return f"{statistics.median(late) * 1000:.1f} ms p50, {_p99(late) * 1000:.0f} ms p99"


@pytest.mark.timeout(900)
def test_many_streams_lose_nothing_and_are_not_late(rig: Rig, source: int) -> None:
    async def measure() -> FanOut:
        found = FanOut(rig, source, rig.client_tls())
        await found.run()
        return found

    found = asyncio.run(measure())

    added = _p99(found.through) - _p99(found.direct)
    per_stream = {name: f"{each / 1024:.0f} KiB" for name, each in found.held.items()}
    print(
        f"P7: {STREAMS} streams of {EVENTS} events, one each {EVERY_S:g} s; {len(found.through):,} came;"
        f" late by {_told(found.through)}, directly {_told(found.direct)}; a stream takes {per_stream}"
    )
    assert len(found.through) == STREAMS * EVENTS
    assert rig.metric("calls_failed_total") == 0
    assert added < MOST_ADDED_S * SLACK
    assert set(found.held) == {"interceptor", "gateway"}
    assert max(found.held.values()) < MOST_BYTES_PER_STREAM * SLACK

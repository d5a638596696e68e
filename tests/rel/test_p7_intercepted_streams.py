"""P7, and P2's figure for the interceptor: streams pass through it whole, in order, as they come, and soon.

Measured beside direct calls to the same provider, turn by turn, since the machine is shared.
"""

import asyncio
import contextlib
import itertools
import json
import re
import ssl
import statistics
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.proxy.intercept.rig import Rig, running
from tests.rel.sizes import sized
from tests.standin import StandIn

STREAMS = sized(200, 1_000)
OPENED_PER_S = 50
CALLS = sized(40, 400)
SLACK = 2
"""How much worse than the figure a shared machine may make it before the test fails."""
EVENTS = 20
SPACING_S = 0.1


@pytest.fixture(scope="module")
def rig(_standin_process: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("heli"), _standin_process.url) as rig:
        yield rig


def _request(asked: str, **scenario: Any) -> bytes:
    messages = [{"role": "user", "content": asked}]
    body = json.dumps({"model": "gpt-4o-mini", "stream": True, "messages": messages}).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: api.openai.com",
        "Content-Type: application/json",
        f"x-standin: {json.dumps(scenario)}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Stream:
    """What came of one streamed call, and when."""

    def __init__(self) -> None:
        self.sent_at = time.perf_counter()
        self.times: list[float] = []
        self.data = b""

    @property
    def first_s(self) -> float:
        return self.times[0] - self.sent_at

    @property
    def text(self) -> str:
        """All the deltas of the reply, put together."""
        payload = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", self.data.partition(b"\r\n\r\n")[2])
        events = re.findall(rb"data: (\{.*?\})\n\n", payload)
        deltas = [json.loads(each)["choices"] for each in events]
        return "".join(choices[0]["delta"].get("content") or "" for choices in deltas if choices)


@asynccontextmanager
async def _through(rig: Rig, context: ssl.SSLContext) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    try:
        writer.write(b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await writer.start_tls(context, server_hostname="api.openai.com")
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def _direct(standin: StandIn) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", standin.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _call(streams: Any, request: bytes) -> Stream:
    reader, writer = streams
    writer.write(request)
    found = Stream()
    while not found.data.endswith(b"0\r\n\r\n"):
        piece = await asyncio.wait_for(reader.read(65536), 60)
        assert piece, f"the stream broke off: {found.data[-200:]!r}"
        if b"data: " in piece:
            found.times.append(time.perf_counter())
        found.data += piece
    return found


def test_the_first_token_is_not_delayed(rig: Rig, standin: StandIn) -> None:
    async def measure() -> tuple[list[float], list[float]]:
        direct, through = [], []
        async with _direct(standin) as plain, _through(rig, rig.client_tls()) as secure:
            for number in range(CALLS + 5):
                request = _request(f"call {number}", delay_s=0.02, chunks=3)
                one, other = await _call(plain, request), await _call(secure, request)
                assert one.text == other.text
                if number >= 5:
                    direct.append(one.first_s)
                    through.append(other.first_s)
        return direct, through

    direct, through = asyncio.run(measure())

    added = statistics.median(through) - statistics.median(direct)
    print(f"P2: first token of a stream +{added * 1000:.1f} ms p50 over direct, by interceptor and gateway")
    assert added < 0.015 * SLACK


def test_events_keep_their_spacing(rig: Rig) -> None:
    async def measure() -> Stream:
        async with _through(rig, rig.client_tls()) as secure:
            scenario = {"text": "word " * EVENTS, "chunks": EVENTS, "interval_ms": SPACING_S * 1000}
            return await _call(secure, _request("slowly", **scenario))

    times = asyncio.run(measure()).times

    gaps = [after - before for before, after in itertools.pairwise(times)]
    print(f"P7: events sent each {SPACING_S:g} s came each {statistics.median(gaps):.3f} s")
    assert len(times) >= EVENTS - 2, "events were held back and came together"
    assert statistics.median(gaps) == pytest.approx(SPACING_S, rel=0.3)


def test_many_streams_at_once_are_whole_and_in_order(rig: Rig) -> None:
    context = rig.client_tls()
    started = time.monotonic()

    async def one(number: int) -> None:
        await asyncio.sleep(number / OPENED_PER_S)
        text = " ".join(f"{number}.{each}" for each in range(EVENTS))
        scenario = {"text": text, "chunks": EVENTS, "interval_ms": 400}
        async with _through(rig, context) as secure:
            stream = await _call(secure, _request("many", **scenario))
        assert stream.text == text

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(STREAMS):
                group.create_task(one(number))

    asyncio.run(all_of_them())

    print(f"P7: {STREAMS} streams of {EVENTS} events, all whole, in {time.monotonic() - started:.1f} s")
    assert rig.metric("calls_failed_total") == 0

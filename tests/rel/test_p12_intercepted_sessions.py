"""P12 and the interceptor's memory: it stays flat over many requests and over long WebSockets.

mitmproxy keeps the messages of a WebSocket, and of an upgraded connection, for as long as it lasts, unless
somebody takes them out.
"""

import asyncio
import json
import struct
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from tests.proxy.intercept.rig import Rig, running
from tests.proxy.intercept.test_clients import CALL
from tests.rel import probe
from tests.rel.sizes import sized
from tests.rel.test_p7_intercepted_streams import _through
from tests.standin import StandIn

REQUESTS = sized(1_500, 50_000)
CONNECTIONS = 5
WARM_UP = 500
FRAMES = sized(600, 72_000)
"""Of 64 KiB, each sent and echoed: at full length as many as an hour of 20 a second."""
FRAME_BYTES = 64 * 1024
MOST_GROWTH = sized(6, 12) * probe.MIB


@pytest.fixture(scope="module")
def rig(_standin_process: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("heli"), _standin_process.url) as rig:
        yield rig


@pytest.mark.timeout(3600)
def test_memory_is_flat_over_many_requests_on_a_few_connections(rig: Rig) -> None:
    body = CALL.encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    pid = rig.heli.pid("intercept")

    async def calls(count: int, context: object) -> None:
        async with _through(rig, context) as (reader, writer):  # type: ignore[arg-type]
            for _ in range(count):
                writer.write(request)
                told = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in told.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                reply = json.loads(await reader.readexactly(length))
                assert reply["choices"][0]["message"]["content"] == "You said: hi"

    async def measure() -> tuple[int, int]:
        context = rig.client_tls()
        await asyncio.gather(*(calls(WARM_UP // CONNECTIONS, context) for _ in range(CONNECTIONS)))
        before = probe.read(pid).rss_bytes
        await asyncio.gather(*(calls(REQUESTS // CONNECTIONS, context) for _ in range(CONNECTIONS)))
        return before, probe.read(pid).rss_bytes

    before, after = asyncio.run(measure())

    grown = (after - before) / probe.MIB
    print(f"interceptor: {grown:+.1f} MiB over {REQUESTS} requests on {CONNECTIONS} connections")
    assert after - before < MOST_GROWTH
    assert rig.metric("calls_failed_total") == 0


@pytest.mark.timeout(3600)
def test_a_long_websocket_is_whole_in_order_and_kept_nowhere(rig: Rig) -> None:
    pid = rig.heli.pid("intercept")
    before = 0
    url = "wss://api.openai.com/v1/echo"
    with connect(url, ssl=rig.client_tls(), proxy=rig.proxy(), max_size=None, compression=None) as session:
        for number in range(FRAMES):
            if number == FRAMES // 6:
                before = probe.read(pid).rss_bytes
            sent = struct.pack(">I", number) * (FRAME_BYTES // 4)
            session.send(sent)
            assert session.recv(timeout=30) == sent
        session.ping().wait(10)
        after = probe.read(pid).rss_bytes

    passed = (FRAMES - FRAMES // 6) * FRAME_BYTES * 2 / probe.MIB
    grown = (after - before) / probe.MIB
    print(f"P12: {grown:+.1f} MiB while {passed:,.0f} MiB of frames passed on one WebSocket")
    assert after - before < MOST_GROWTH


def test_a_websocket_is_recorded_with_the_true_origin(rig: Rig) -> None:
    from tests.rel.heli_under_test import wait_until

    url, headers = "wss://api.openai.com/v1/realtime?case=recorded", {"x-case": "realtime"}
    with connect(url, ssl=rig.client_tls(), proxy=rig.proxy(), additional_headers=headers) as session:
        assert json.loads(session.recv(timeout=10))["type"] == "session.created"

    found = wait_until(lambda: rig.sink.by_header("x-case").get("realtime"), 10, "the record")
    assert found.is_websocket
    assert found.origin == "https://api.openai.com"
    assert found.response_body

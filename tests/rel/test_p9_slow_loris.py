"""P9, in small: callers that dribble are cut at the head's deadline, and others do not notice them."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.rel.heli_under_test import HeliUnderTest
from tests.rel.ingest_sink import IngestSink
from tests.rel.raw_client import connect, exchange, json_post
from tests.rel.sizes import sized
from tests.standin import StandIn

SLOW = sized(300, 2_000)
DEADLINE_S = 3.0
BODY = b'{"model": "m", "messages": []}'
LIMITS = {"HELI_GATEWAY__HEADER_TIMEOUT_S": str(DEADLINE_S), "HELI_GATEWAY__BODY_TIMEOUT_S": str(DEADLINE_S)}


@pytest.fixture
def heli(standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeliUnderTest]:
    home = tmp_path_factory.mktemp("p9")
    with IngestSink() as sink, HeliUnderTest(home, standin.url, backend_url=sink.url, environ=LIMITS) as heli:
        yield heli


def _good_call(heli: HeliUnderTest) -> float:
    started = time.monotonic()
    request = json_post("/v1/chat/completions", BODY, ("x-standin", json.dumps({"text": "fine"})))
    assert exchange(heli.url(), request).final.status == 200
    return time.monotonic() - started


@pytest.mark.slow
def test_slow_heads_and_bodies_are_cut_and_good_calls_go_on(heli: HeliUnderTest) -> None:
    beginnings = [
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n{",
        b"P",
    ]
    slow = [connect(heli.url(), 5) for _ in range(SLOW)]
    started = time.monotonic()
    for number, one in enumerate(slow):
        one.sendall(beginnings[number % len(beginnings)])
    good: list[float] = []
    while time.monotonic() < started + 2 * DEADLINE_S + 2.5:
        for one in slow[:: max(1, SLOW // 50)]:
            _dribble(one)
        good.append(_good_call(heli))
        time.sleep(0.05)
    assert all(_is_cut(one) for one in slow)
    good.sort()
    print(f"P9: {SLOW} slow callers, {len(good)} good calls, p99 {good[int(len(good) * 0.99)] * 1000:.1f} ms")
    assert good[int(len(good) * 0.99)] <= 0.5


def _dribble(slow: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may be cut already
        slow.sendall(b"x")


def _is_cut(slow: socket.socket) -> bool:
    """Whether the gateway ended the connection: with a 408 and FIN, or a reset."""
    slow.settimeout(2)
    try:
        data = slow.recv(65536)
        return not data or data.startswith(b"HTTP/1.1 408")
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    finally:
        slow.close()


@pytest.mark.slow
def test_a_connection_at_rest_and_a_slow_reader_are_left_alone(heli: HeliUnderTest) -> None:
    request = json_post("/v1/chat/completions", BODY, ("x-standin", json.dumps({"body_bytes": 3_000_000})))
    with connect(heli.url()) as resting, connect(heli.url()) as reading:
        reading.sendall(request)
        received = len(reading.recv(1000))
        time.sleep(DEADLINE_S + 1.5)
        resting.sendall(json_post("/v1/chat/completions", BODY))
        assert resting.recv(1000).startswith(b"HTTP/1.1 200")
        while received < 3_000_000:
            received += len(reading.recv(65536))

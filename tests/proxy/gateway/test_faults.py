"""Whatever fails in heli's own work, the call goes on."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from heli.proxy.gateway import faults
from tests.proxy.gateway.running import a_call, running_gateway
from tests.standin import StandIn


@pytest.fixture
def arm() -> Iterator[Callable[..., None]]:
    """Arms places to fail, for one test."""
    yield faults.FAULTS.arm
    faults.FAULTS.arm()


STREAM = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"a b c"}]}'


@pytest.mark.parametrize("point", faults.FAULT_POINTS)
def test_a_fault_is_counted_and_no_caller_notices(
    point: str, standin: StandIn, arm: Callable[..., None]
) -> None:
    arm(point)
    slow = f"x-standin: {json.dumps({'chunks': 4, 'interval_ms': 120})}"
    with running_gateway(standin) as gateway, gateway.connect() as wire:
        wire.send(a_call(b'{"n":1}'))
        head, _ = wire.read_reply()
        wire.send(a_call(STREAM, headers=(slow,)))
        streamed = wire.read_until(b"0\r\n\r\n")
        wire.send(a_call(b"", path="/metrics", method="GET"))
        wire.read_until(b"\r\n\r\n")
        deadline = time.monotonic() + 3
        while not gateway.gateway.counters.own_faults and time.monotonic() < deadline:
            time.sleep(0.01)

        assert head.startswith(b"HTTP/1.1 200")
        assert b"Helicone-Id: " in head
        assert b"[DONE]" in streamed
        assert gateway.gateway.counters.own_faults >= 1


def test_calls_that_could_not_be_recorded_are_counted(standin: StandIn, arm: Callable[..., None]) -> None:
    arm("close_record")
    with running_gateway(standin) as gateway, gateway.connect() as wire:
        for _ in range(3):
            wire.send(a_call())
            wire.read_reply()

        assert gateway.gateway.counters.calls_unrecorded == 3
        assert gateway.spool.records == []

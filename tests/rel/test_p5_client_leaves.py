"""P5: a caller that hangs up has the provider's work cancelled, and what was seen is recorded.

Aborts at random points: while the request is sent, before the reply, in its body, in a stream, in a
WebSocket; by FIN and by RST. The provider must see each within two seconds, and nothing may stay open.
"""

import json
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from heli.schema.exchange import Exchange, Outcome
from tests.rel import probe
from tests.rel.conftest import Rig
from tests.rel.heli_under_test import wait_until
from tests.rel.raw_client import connect, json_post, reset, upgrade_request
from tests.rel.sizes import seeded, sized

ABORTS = sized(200, 1_000)
AT_ONCE = 20
CANCELLED_WITHIN_S = 2.0
KINDS = ("in_request", "before_head", "in_body", "in_stream")


def _request(kind: str, case: str) -> bytes:
    scenario: dict[str, Any] = {
        "in_request": {"stall_s": 30},
        "before_head": {"delay_s": 30},
        "in_body": {"body_bytes": 4_000_000, "interval_ms": 50},
        "in_stream": {"chunks": 500, "interval_ms": 20, "text": "word " * 500},
    }[kind]
    body = json.dumps(
        {
            "model": "gpt-4o",
            "stream": kind == "in_stream",
            "messages": [{"role": "user", "content": "x" * (200_000 if kind == "in_request" else 20)}],
        }
    ).encode()
    headers = (("x-case", case), ("x-standin", json.dumps(scenario)))
    request = json_post("/v1/chat/completions", body, *headers)
    return request[:-100_000] if kind == "in_request" else request


def _abort(url: str, case: str, kind: str, wait_s: float, by_reset: bool) -> tuple[float, int]:
    """Call, leave after a while; return when that was and how many bytes of a reply had come."""
    seen = 0
    plain = connect(url)
    plain.sendall(_request(kind, case))
    leave_at = time.monotonic() + wait_s
    while (left := leave_at - time.monotonic()) > 0:
        plain.settimeout(left)
        try:
            seen += len(plain.recv(65536))
        except TimeoutError:
            break
    left_at = time.time()
    if by_reset:
        reset(plain)
    else:
        plain.close()
    return left_at, seen


@pytest.mark.slow
@pytest.mark.timeout(sized(120, 600))
def test_every_abort_reaches_the_provider_and_the_record(rig: Rig) -> None:
    chance = seeded("P5")
    before = _warm_up(rig)
    plans = [
        (str(n), chance.choice(KINDS), chance.uniform(0.05, 0.6), chance.random() < 0.5)
        for n in range(ABORTS)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda plan: _abort(rig.heli.url(), *plan), plans))
    wait_until(lambda: rig.standin.stats()["in_flight"] == 0, CANCELLED_WITHIN_S + 1, "cancelled upstream")
    entries = {_case(entry): entry for entry in rig.standin.journal("x-case")}
    late = [
        entries[case]["peer_left_at"] - left_at
        for (case, *_), (left_at, _) in zip(plans, outcomes, strict=True)
        if case in entries  # a request that was cut before its head was whole never got there
    ]
    assert len(late) == ABORTS
    assert max(late) <= CANCELLED_WITHIN_S
    print(f"P5: {ABORTS} aborts, cancelled upstream after {max(late):.3f} s at most")
    wait_until(lambda: len(rig.sink.by_header("x-case")) == ABORTS, 15, "a record of each abort")
    recorded = rig.sink.by_header("x-case")
    for (case, kind, *_), (_, seen) in zip(plans, outcomes, strict=True):
        _check_record(recorded[case], kind, seen)
    _check_nothing_stayed_open(rig, before)


def _warm_up(rig: Rig) -> probe.Reading:
    reply = connect(rig.heli.url())
    reply.sendall(json_post("/v1/chat/completions", b'{"model": "m", "messages": []}'))
    assert reply.recv(100).startswith(b"HTTP/1.1 200")
    reply.close()
    rig.sink.wait_for(1)
    return probe.read(rig.heli.worker())


def _case(entry: dict[str, Any]) -> str:
    return next(value for name, value in entry["headers"] if name == "x-case")


def _check_record(record: Exchange, kind: str, seen: int) -> None:
    assert record.outcome is Outcome.CLIENT_ABORTED, (kind, record.outcome, record.error)
    assert record.end_us is not None
    assert record.request_body
    if kind == "in_stream" and seen > 2_000:
        assert b"word" in record.response_body
        assert record.response_body_bytes >= seen - 1_000  # `seen` counts the head, too
    if kind == "before_head":
        assert record.response_status is None


def _check_nothing_stayed_open(rig: Rig, before: probe.Reading) -> None:
    """Sockets are those of before, give or take connections to the provider that rest."""
    wait_until(lambda: rig.standin.stats()["open_connections"] <= 3, 5, "no connection left upstream")
    wait_until(
        lambda: probe.read(rig.heli.worker()).sockets <= before.sockets + 1,
        5,
        "no socket left in the gateway",
    )


@pytest.mark.slow
def test_websocket_callers_that_leave_are_noticed(rig: Rig) -> None:
    count = sized(20, 100)
    for number in range(count):
        plain = connect(rig.heli.url())
        plain.sendall(upgrade_request("/v1/realtime?model=gpt-realtime", ("x-ws-case", str(number))))
        seen = b""
        while b"session.created" not in seen:
            seen += plain.recv(4096)
        _leave(plain, number)
    wait_until(lambda: rig.standin.stats()["in_flight"] == 0, CANCELLED_WITHIN_S, "cancelled upstream")
    wait_until(lambda: len(rig.sink.by_header("x-ws-case")) == count, 15, "a record of each session")
    for record in rig.sink.by_header("x-ws-case").values():
        assert record.is_websocket
        assert b"session.created" in record.response_body


def _leave(plain: socket.socket, number: int) -> None:
    if random.Random(number).random() < 0.5:
        reset(plain)
    else:
        plain.close()

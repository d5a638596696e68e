"""P10: heads that are bombs are refused before they cost anything: 431, 414 or a hang-up."""

import json

import pytest

from tests.rel import probe
from tests.rel.conftest import Rig
from tests.rel.metrics import read_metrics
from tests.rel.raw_client import Answered, exchange, json_post

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n"
BODY = b'{"model": "m", "messages": []}'
AT_MOST_BYTES = probe.MIB

BOMBS = {
    "65 KiB of headers": (HEAD + b"x-a: " + b"a" * 66_560 + b"\r\n\r\n", 431),
    "10 MB of headers": (
        HEAD + b"".join(b"x-%d: %b\r\n" % (n, b"b" * 1000) for n in range(10_000)) + b"\r\n",
        431,
    ),
    "10,000 headers": (HEAD + b"".join(b"x-%d: 1\r\n" % n for n in range(10_000)) + b"\r\n", 431),
    "5,000 short headers": (HEAD + b"a:\r\n" * 5_000 + b"\r\n", 431),
    "a URL of 1 MB": (b"GET /" + b"u" * 1_000_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "a method without end": (b"A" * 1_000_000, 414),
    "a header without end": (HEAD + b"x-a: " + b"a" * 5_000_000, 431),
    "a name without end": (HEAD + b"n" * 5_000_000, 431),
}


def _throw(rig: Rig, bomb: bytes) -> Answered:
    return exchange(rig.heli.url(), bomb, timeout_s=5)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_costs_no_memory(rig: Rig, name: str) -> None:
    bomb, status = BOMBS[name]
    _throw(rig, bomb)  # what is allocated once is not growth
    before = probe.forget_peak(rig.heli.worker())
    answered = _throw(rig, bomb)
    growth = probe.read(rig.heli.worker()).peak_bytes - before
    assert answered.ending in ("kept", "fin", "rst")
    assert answered.data == b"" or answered.final.status == status
    assert growth <= AT_MOST_BYTES, f"{growth} bytes"
    assert not rig.standin.journal("x-a:")


def test_a_hundred_bombs_leave_nothing_behind(rig: Rig) -> None:
    for bomb, _ in BOMBS.values():
        _throw(rig, bomb)
    before = probe.read(rig.heli.worker())
    refused = read_metrics(rig.heli.ports["openai"])["heads_refused"]
    for number in range(100):
        _throw(rig, list(BOMBS.values())[number % len(BOMBS)][0])
    after = probe.read(rig.heli.worker())
    assert read_metrics(rig.heli.ports["openai"])["heads_refused"] == refused + 100
    assert after.rss_bytes - before.rss_bytes <= 2 * AT_MOST_BYTES
    assert after.sockets <= before.sockets + 1


def test_what_is_just_allowed_passes(rig: Rig) -> None:
    headers = [(f"x-{number}", "v" * 300) for number in range(180)]
    scenario = ("x-standin", json.dumps({"text": "fine"}))
    assert (
        exchange(rig.heli.url(), json_post("/v1/chat/completions", BODY, scenario, *headers)).final.status
        == 200
    )

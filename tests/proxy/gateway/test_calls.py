"""Calls through a running gateway: what the caller sees, what the provider sees, and what is recorded."""

import hashlib
import json
import struct
import time

import pytest

from heli.schema.exchange import Listener, Opened, Outcome, Whole
from tests.proxy.gateway.running import RunningGateway, a_call, running_gateway
from tests.standin import StandIn

SSE = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"one two three four"}]}'


def scenario(**fields: object) -> str:
    return f"x-standin: {json.dumps(fields)}"


def test_a_plain_call_is_passed_on_and_recorded_whole(gateway: RunningGateway, standin: StandIn) -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'
    with gateway.connect() as wire:
        wire.send(
            a_call(body, headers=("Authorization: Bearer sk-secret", "Helicone-User-Id: alice", "X-Odd:  1 "))
        )
        head, reply = wire.read_reply()

    (seen,) = standin.journal()
    (exchange,) = gateway.exchanges(1)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Helicone-Id: " + str(exchange.request_id).encode() in head
    assert b"Helicone-Status: success" in head
    assert seen["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert "helicone" not in json.dumps(seen).lower()
    assert exchange.outcome is Outcome.COMPLETE
    assert (exchange.origin, exchange.path, exchange.method) == (
        "https://api.openai.com",
        "/v1/chat/completions",
        "POST",
    )
    assert (exchange.request_body, exchange.response_body) == (body, reply)
    assert dict(exchange.request_headers)[b"Authorization"] == b"***"
    assert dict(exchange.request_headers)[b"Helicone-User-Id"] == b"alice"
    assert exchange.response_status == 200
    assert exchange.peer.startswith("127.0.0.1:")
    assert exchange.request_end_us is not None
    assert exchange.first_byte_us is not None
    assert exchange.end_us is not None
    assert 0 <= exchange.request_end_us <= exchange.first_byte_us <= exchange.end_us
    assert abs(exchange.started_ns / 1e9 - time.time()) < 30
    assert isinstance(gateway.spool.records[0], Whole)


def test_a_stream_arrives_piece_by_piece_and_is_recorded_while_it_runs(
    gateway: RunningGateway, standin: StandIn
) -> None:
    with gateway.connect() as wire:
        wire.send(a_call(SSE, headers=(scenario(chunks=4, interval_ms=150),)))
        head = wire.read_until(b"\r\n\r\n")
        wire.read_until(b"one")
        first = time.monotonic()
        wire.read_until(b"[DONE]")
        assert time.monotonic() - first > 0.3
        wire.read_until(b"0\r\n\r\n")

    (exchange,) = gateway.exchanges(1)
    assert b"transfer-encoding: chunked" in head.lower()
    assert exchange.outcome is Outcome.COMPLETE
    assert exchange.response_body.endswith(b"0\r\n\r\n")
    assert sum(size for _, size in exchange.response_chunks) <= exchange.response_body_bytes
    assert exchange.response_body_bytes == len(exchange.response_body)
    assert isinstance(gateway.spool.records[0], Opened)
    assert len(gateway.spool.records) >= 3


def test_one_connection_carries_call_after_call_also_sent_ahead(
    gateway: RunningGateway, standin: StandIn
) -> None:
    bodies = [b'{"n":%d}' % n for n in range(5)]
    with gateway.connect() as wire:
        wire.send(b"".join(a_call(body, path="/v1/echo") for body in bodies))
        replies = [wire.read_reply()[1] for _ in bodies]

    assert [seen["body_sha256"] for seen in standin.journal()] == [
        hashlib.sha256(b).hexdigest() for b in bodies
    ]
    assert [e.response_body for e in gateway.exchanges(5)] == replies
    assert [e.request_body for e in gateway.exchanges(5)] == bodies
    assert standin.stats()["requests"] == 5


def test_connections_to_the_provider_are_used_again(gateway: RunningGateway, standin: StandIn) -> None:
    before = standin.stats()["connections"]
    for _ in range(10):
        with gateway.connect() as wire:
            wire.send(a_call())
            wire.read_reply()

    assert standin.stats()["connections"] - before <= 2
    assert gateway.gateway.counters.connections_reused == 9


@pytest.mark.parametrize("framing", ["length", "chunked", "close", "http10"])
def test_every_framing_reaches_the_caller_whole(gateway: RunningGateway, framing: str) -> None:
    with gateway.connect() as wire:
        wire.send(a_call(headers=(scenario(framing=framing, body_bytes=100_000), "Connection: close")))
        received = wire.read_all()

    (exchange,) = gateway.exchanges(1)
    assert exchange.outcome is Outcome.COMPLETE
    assert received.endswith(exchange.response_body)
    assert len(exchange.response_body) >= 100_000


def test_a_reply_without_a_body_ends_at_its_head(gateway: RunningGateway) -> None:
    with gateway.connect() as wire:
        wire.send(a_call(b"", method="HEAD") + a_call(headers=(scenario(status=204),)) + a_call())
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 204")
        assert wire.read_reply()[0].startswith(b"HTTP/1.1 200")


def test_interim_replies_are_passed_on(gateway: RunningGateway) -> None:
    with gateway.connect() as wire:
        wire.send(a_call(headers=(scenario(informational=[103]),)))
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 103")
        assert wire.read_reply()[0].startswith(b"HTTP/1.1 200")


def test_a_chunked_request_travels_as_it_came(gateway: RunningGateway, standin: StandIn) -> None:
    request = a_call(b"", headers=("Transfer-Encoding: chunked",), path="/v1/echo")
    with gateway.connect() as wire:
        wire.send(request + b"3\r\nabc\r\n")
        wire.send(b"2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n")
        wire.read_reply()

    assert standin.journal()[0]["body_sha256"] == hashlib.sha256(b"abcde").hexdigest()
    assert gateway.exchanges(1)[0].request_body == b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n"


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_providers_error_is_the_callers_error(gateway: RunningGateway, status: int) -> None:
    with gateway.connect() as wire:
        wire.send(a_call(headers=(scenario(status=status, retry_after=12),)))
        head, body = wire.read_reply()

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"retry-after: 12" in head.lower()
    assert gateway.exchanges(1)[0].response_body == body


def test_a_stream_that_breaks_off_never_ends_in_order(gateway: RunningGateway) -> None:
    with gateway.connect() as wire:
        wire.send(a_call(SSE, headers=(scenario(drop="mid_sse", drop_with="fin"),)))
        received = wire.read_all()

    (exchange,) = gateway.exchanges(1)
    assert not received.endswith(b"0\r\n\r\n")
    assert exchange.outcome is Outcome.UPSTREAM_ERROR
    assert exchange.response_body in received
    assert exchange.error


@pytest.mark.parametrize("drop_with", ["fin", "rst"])
def test_a_reply_until_close_that_is_reset_is_reset(gateway: RunningGateway, drop_with: str) -> None:
    with gateway.connect() as wire:
        wire.send(
            a_call(
                headers=(scenario(framing="close", body_bytes=50_000, drop="mid_body", drop_with=drop_with),)
            )
        )
        if drop_with == "rst":
            with pytest.raises(ConnectionResetError):
                wire.read_all()
        else:
            wire.read_all()

    (exchange,) = gateway.exchanges(1)
    assert (exchange.outcome is Outcome.UPSTREAM_ERROR) is (drop_with == "rst")


def test_a_provider_that_is_not_there_is_502(standin: StandIn) -> None:
    with running_gateway() as gateway, gateway.connect() as wire:
        wire.send(a_call())
        head, body = wire.read_reply()
        (exchange,) = gateway.exchanges(1)

    assert head.startswith(b"HTTP/1.1 502 Bad Gateway")
    assert set(json.loads(body)) == {"error", "message", "helicone-message", "support"}
    assert exchange.outcome is Outcome.UPSTREAM_ERROR
    assert exchange.response_status == 502
    assert b"Helicone-Id: " + str(exchange.request_id).encode() in head


@pytest.mark.parametrize(
    "framing", ["garbage", "bad_status", "two_lengths", "length_and_chunked", "nul_header"]
)
def test_a_reply_that_is_not_http_is_502(gateway: RunningGateway, framing: str) -> None:
    with gateway.connect() as wire:
        wire.send(a_call(headers=(scenario(framing=framing),)))
        head, _ = wire.read_reply()

    assert head.startswith(b"HTTP/1.1 502")
    assert gateway.exchanges(1)[0].outcome is Outcome.UPSTREAM_ERROR


def test_a_provider_that_stalls_before_its_head_is_504(standin: StandIn) -> None:
    with running_gateway(standin, idle_timeout_s=1.0) as gateway, gateway.connect() as wire:
        wire.send(a_call(headers=(scenario(stall_s=30, stall_at="head"),)))
        head, _ = wire.read_reply()
        (exchange,) = gateway.exchanges(1)

    assert head.startswith(b"HTTP/1.1 504")
    assert exchange.outcome is Outcome.TIMEOUT


def test_a_caller_that_leaves_cancels_the_call(gateway: RunningGateway, standin: StandIn) -> None:
    wire = gateway.connect()
    wire.send(a_call(SSE, headers=(scenario(chunks=4, interval_ms=2000),)))
    wire.read_until(b"\r\n\r\n")
    wire.sock.close()

    assert standin.wait_for(lambda s: s.stats()["in_flight"] == 0, seconds=2)
    (exchange,) = gateway.exchanges(1)
    assert exchange.outcome is Outcome.CLIENT_ABORTED
    assert exchange.response_status == 200


def test_a_connection_that_rests_from_the_first_second_on_is_kept(gateway: RunningGateway) -> None:
    with gateway.connect() as wire:
        wire.send(a_call())
        wire.read_reply()
    gateway.exchanges(1)
    gateway.gateway.pool.sweep(gateway.gateway.loop.time())

    assert gateway.gateway.pool.resting == 1


def test_a_resting_connection_that_closed_costs_nobody_a_call(
    gateway: RunningGateway, standin: StandIn
) -> None:
    with gateway.connect() as wire:
        wire.send(a_call())
        wire.read_reply()
        standin.put_script("gone", [{"close": "fin"}])
        wire.send(a_call(headers=(scenario(script="gone"),)))
        head, _ = wire.read_reply()

    assert head.startswith(b"HTTP/1.1 502")
    assert gateway.gateway.counters.calls_repeated == 1
    assert len(standin.journal()) == 3


def test_omitted_and_described_calls_need_nothing_of_the_provider(
    gateway: RunningGateway, standin: StandIn
) -> None:
    key = "sk-helicone-abcdefg-abcdefg-abcdefg-abcdefg"
    with gateway.connect() as wire:
        wire.send(
            a_call(
                path=f"/{key}/v1/chat/completions",
                headers=(
                    "Helicone-Request-Id: 0ed0ff2f-e666-4a4a-8d69-43897849d193",
                    "Helicone-Property-Env: prod",
                    "Helicone-Omit-Request: true",
                ),
            )
        )
        head, _ = wire.read_reply()

    (seen,) = standin.journal()
    (exchange,) = gateway.exchanges(1)
    assert b"Helicone-Id: 0ed0ff2f-e666-4a4a-8d69-43897849d193" in head
    assert seen["target"] == exchange.path == "/v1/chat/completions"
    assert exchange.key_digest == hashlib.sha256(f"Bearer {key}".encode()).digest()
    assert key not in json.dumps(seen)


def test_a_target_of_the_callers_own(gateway: RunningGateway, standin: StandIn) -> None:
    with gateway.connect(Listener.GATEWAY) as wire:
        wire.send(a_call(path="/openai/v1/x", headers=("Helicone-Target-Url: https://api.groq.com",)))
        wire.read_reply()
        wire.send(a_call(headers=(f"Helicone-Target-Url: {standin.url}",)))
        refused, body = wire.read_reply()

    allowed, private = gateway.exchanges(2)
    assert (allowed.origin, allowed.path) == ("https://api.groq.com", "/openai/v1/x")
    assert refused.startswith(b"HTTP/1.1 400")
    assert b"gateway.allow_targets" in body
    assert private.outcome is Outcome.REFUSED
    assert len(standin.journal()) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 300 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_ends(
    gateway: RunningGateway, standin: StandIn, sent: bytes, status: int
) -> None:
    with gateway.connect() as wire:
        wire.send(sent)
        received = wire.read_all()

    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert standin.journal() == []


def test_a_head_that_does_not_come_is_cut_off(standin: StandIn) -> None:
    with running_gateway(standin, header_timeout_s=1.0) as gateway, gateway.connect() as wire:
        started = time.monotonic()
        wire.send(b"POST / HTTP/1.1\r\nHost:")
        received = wire.read_all()

    assert received.startswith(b"HTTP/1.1 408 ")
    assert 0.5 < time.monotonic() - started < 4


def test_a_body_that_does_not_come_is_cut_off(standin: StandIn) -> None:
    with running_gateway(standin, body_timeout_s=1.0) as gateway, gateway.connect() as wire:
        wire.send(b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
        received = wire.read_all()
        (exchange,) = gateway.exchanges(1)

    assert received.startswith(b"HTTP/1.1 408 ")
    assert exchange.outcome is Outcome.CLIENT_ABORTED


def test_what_is_over_the_bound_passes_and_is_only_counted(standin: StandIn) -> None:
    body = b"x" * 300_000
    with running_gateway(standin, capture_max_bytes=1000) as gateway, gateway.connect() as wire:
        wire.send(a_call(body, headers=(scenario(body_bytes=200_000),)))
        _, reply = wire.read_reply()
        (exchange,) = gateway.exchanges(1)

    assert len(reply) == 200_000
    assert (exchange.request_body, exchange.request_body_bytes) == (body[:1000], 300_000)
    assert (exchange.response_body, exchange.response_body_bytes) == (reply[:1000], 200_000)


def test_a_spool_that_is_nearly_full_gets_heads_only(gateway: RunningGateway) -> None:
    gateway.spool.is_nearly_full = True
    with gateway.connect() as wire:
        wire.send(a_call(b"abc", path="/v1/echo"))
        wire.read_reply()

    (exchange,) = gateway.exchanges(1)
    assert exchange.bodies_dropped
    assert (exchange.request_body, exchange.response_body) == (b"", b"")
    assert exchange.request_body_bytes == 3
    assert gateway.spool.dropped_body_bytes > 3


def test_a_body_that_lost_a_piece_says_so_though_there_is_room_again(gateway: RunningGateway) -> None:
    with gateway.connect() as wire:
        wire.send(a_call(SSE, headers=(scenario(chunks=4, interval_ms=400),)))
        wire.read_until(b"role")
        while len(gateway.spool.records) < 2:
            time.sleep(0.01)
        gateway.spool.is_nearly_full = True
        while not gateway.spool.dropped_body_bytes:
            time.sleep(0.01)
        gateway.spool.is_nearly_full = False
        wire.read_until(b"0\r\n\r\n")

    (exchange,) = gateway.exchanges(1)
    assert exchange.bodies_dropped
    assert exchange.request_body == SSE
    assert b"role" in exchange.response_body
    assert len(exchange.response_body) < exchange.response_body_bytes


def test_a_spool_that_takes_nothing_costs_no_call(gateway: RunningGateway) -> None:
    gateway.spool.refuses = True
    with gateway.connect() as wire:
        wire.send(a_call(SSE, headers=(scenario(chunks=3, interval_ms=60),)))
        wire.read_until(b"0\r\n\r\n")
        wire.send(a_call())
        wire.read_reply()

    assert gateway.spool.records == []


def test_an_upgraded_connection_passes_both_ways(gateway: RunningGateway) -> None:
    upgrade = (
        b"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    payload = b"hello"
    frame = struct.pack("!BB4s", 0x81, 0x80 | len(payload), bytes(4)) + payload
    with gateway.connect() as wire:
        wire.send(upgrade)
        head = wire.read_until(b"\r\n\r\n")
        wire.send(frame)
        echoed = wire.read_bytes(2 + len(payload))
        wire.send(struct.pack("!BB4sH", 0x88, 0x82, bytes(4), 1000))
        wire.read_bytes(4)

    (exchange,) = gateway.exchanges(1)
    assert head.startswith(b"HTTP/1.1 101")
    assert b"Upgrade: websocket" in head
    assert echoed == struct.pack("!BB", 0x81, len(payload)) + payload
    assert exchange.is_websocket
    assert exchange.request_body.startswith(frame)
    assert exchange.response_body.startswith(echoed)


def test_own_routes(gateway: RunningGateway, standin: StandIn) -> None:
    with gateway.connect(Listener.ANTHROPIC) as wire:
        wire.send(a_call(b"", path="/healthcheck", method="GET"))
        head, body = wire.read_reply()
        wire.send(a_call(b"", path="/metrics", method="GET"))
        _, metrics = wire.read_reply()

    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""
    assert b'heli_gateway_calls_total{outcome="complete",worker="gateway-0"} 0.0' in metrics
    assert standin.journal() == []
    assert gateway.spool.records == []


def test_stopping_lets_a_call_in_flight_end(standin: StandIn) -> None:
    with running_gateway(standin) as gateway:
        wire = gateway.connect()
        wire.send(a_call(SSE, headers=(scenario(chunks=5, interval_ms=100),)))
        wire.read_until(b"\r\n\r\n")
    wire.read_until(b"0\r\n\r\n")

    assert gateway.exchanges(1)[0].outcome is Outcome.COMPLETE
    wire.sock.close()

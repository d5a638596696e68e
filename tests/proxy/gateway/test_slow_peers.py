"""Callers and providers that read slower than they are written to: nobody waits for a stranger."""

import json
import socket
import threading
import time

from heli.schema.settings import GatewaySettings, ProviderSettings, Settings
from tests.proxy.gateway.running import RunningGateway, a_call, running_gateway
from tests.standin import StandIn

BIG = f"x-standin: {json.dumps({'body_bytes': 20_000_000})}"


def test_a_connection_whose_caller_was_slow_serves_the_next_call(gateway: RunningGateway) -> None:
    slow = gateway.connect(receive_buffer=64 * 1024)
    slow.send(a_call(headers=(BIG,)))
    slow.read_until(b"\r\n\r\n")
    wait_until(lambda: is_held(gateway))
    slow.read_bytes(20_000_000)
    wait_until(lambda: gateway.gateway.pool.resting == 1)

    with gateway.connect() as other:
        other.send(a_call(headers=(BIG,)))
        other.read_until(b"\r\n\r\n")
        assert len(other.read_bytes(20_000_000)) == 20_000_000
    slow.sock.close()


def test_a_connection_that_rests_is_never_held(gateway: RunningGateway) -> None:
    """The last piece of a reply may fill the caller's buffer: the connection must not stay held for that."""
    for _ in range(5):
        slow = gateway.connect()
        slow.send(a_call(headers=(f"x-standin: {json.dumps({'body_bytes': 3_000_000})}",)))
        slow.read_until(b"\r\n\r\n")
        slow.read_bytes(3_000_000)
        wait_until(lambda: gateway.gateway.pool.resting >= 1)
        assert not any(
            connection.is_held for resting in gateway.gateway.pool._resting.values() for connection in resting
        )
        slow.sock.close()


def test_a_provider_that_does_not_read_holds_the_caller_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings(
            gateway=GatewaySettings(drain_timeout_s=0.5), providers={"openai": ProviderSettings(base_url=url)}
        )
        gateway = RunningGateway(settings)
        sent = 0
        try:
            with gateway.connect() as wire:
                wire.send(a_call(b"", headers=("Content-Length: 300000000",)))
                wire.sock.settimeout(1)
                try:
                    while sent < 300_000_000:
                        sent += wire.sock.send(b"x" * 1_000_000)
                except TimeoutError:
                    pass
                callers = list(gateway.gateway.callers)
                assert [caller.call is not None and caller.call.is_held for caller in callers] == [True]
        finally:
            gateway.stop()

    assert sent < 50_000_000


def test_a_provider_that_announces_without_end_is_cut_off(gateway: RunningGateway, standin: StandIn) -> None:
    standin.put_script("flood", [{"write": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3000}, {"pause_ms": 2000}])
    with gateway.connect() as wire:
        wire.send(a_call(headers=('x-standin: {"script": "flood"}',)))
        received = wire.read_all()

    assert b"HTTP/1.1 502 " in received


def test_the_log_api_sees_which_host_the_caller_named() -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as backend:

        def answer() -> None:
            connection, _ = backend.accept()
            with connection:
                seen.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{backend.getsockname()[1]}"
        with running_gateway(backend_url=url) as gateway, gateway.connect(None) as wire:
            wire.send(a_call(b"", path="/v1/requests", method="GET", headers=("Helicone-Auth: Bearer k",)))
            wire.read_reply()
        thread.join()

    assert b"\r\nHost: heli.test\r\n" in seen[0]
    assert b"Helicone-Auth: Bearer k" in seen[0]


def is_held(gateway: RunningGateway) -> bool:
    return any(
        caller.call is not None and caller.call.upstream is not None and caller.call.upstream.is_held
        for caller in list(gateway.gateway.callers)
    )


def wait_until(is_so: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)

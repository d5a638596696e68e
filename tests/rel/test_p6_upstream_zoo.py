"""P6: however a provider misbehaves, the caller sees a failure of the same class as without the gateway.

A failure before the head of the reply becomes heli's own 502 or 504, which SDKs try again as they would a
broken connection; after it, the reply breaks off for the caller as well. None is turned into a tidy end.
"""

import datetime
import json
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from heli.schema.exchange import Outcome
from tests.rel import upstream_zoo as zoo
from tests.rel.conftest import Rig
from tests.rel.free_ports import find_free_ports
from tests.rel.heli_under_test import wait_until
from tests.rel.metrics import read_metrics
from tests.rel.raw_client import Answered, connect, exchange, json_post, read_reply, upgrade_request
from tests.rel.reply_class import ReplyClass, classify
from tests.standin import start_standin
from tests.standin.websocket import TEXT, frame

PATIENCE_S = 0.7
"""How long a client waits for more; stalls last longer."""
STREAMS = {"json": False, "sse": True}


def _body(*, stream: bool) -> bytes:
    messages = [{"role": "user", "content": "Tell me about zoos, at some length, please."}]
    return json.dumps({"model": "gpt-4o", "stream": stream, "messages": messages}).encode()


def _both(rig: Rig, scenario: zoo.Shape, *, stream: bool, case: str) -> tuple[Answered, Answered]:
    headers = (("x-standin", json.dumps(scenario)), ("x-case", case))
    request = json_post("/v1/chat/completions", _body(stream=stream), *headers)
    return tuple(exchange(url, request, timeout_s=PATIENCE_S) for url in (rig.standin.url, rig.heli.url()))


def _case(request: pytest.FixtureRequest) -> str:
    return request.node.callspec.id.encode("ascii", "replace").decode()


def _assert_same_class(rig: Rig, direct: Answered, through: Answered, case: str) -> None:
    wanted, status, body = classify(direct)
    got, got_status, got_body = classify(through)
    if wanted is ReplyClass.NO_HEAD:
        _assert_own_error(through)
        assert _record(rig, case).outcome is Outcome.UPSTREAM_ERROR
        return
    assert (got, got_status) == (wanted, status)
    if wanted is ReplyClass.BROKEN:
        assert body.startswith(got_body)  # a reset may overtake what was sent before it
    else:
        assert got_body == body
    if wanted is ReplyClass.PENDING:
        return
    outcome = Outcome.COMPLETE if wanted is ReplyClass.WHOLE else Outcome.UPSTREAM_ERROR
    assert _record(rig, case).outcome is outcome


def _assert_own_error(through: Answered) -> None:
    kind, status, body = classify(through)
    assert (kind, status) in [(ReplyClass.WHOLE, 502), (ReplyClass.WHOLE, 504)]
    assert through.final.header(b"helicone-error") == b"true"
    assert json.loads(body)["message"]


def _record(rig: Rig, case: str) -> Any:
    return wait_until(lambda: rig.sink.by_header("x-case").get(case), 10, f"the record of {case}")


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("shape", zoo.SCENARIOS)
def test_the_caller_sees_what_it_would_see_without_heli(
    rig: Rig, shape: str, stream: str, request: pytest.FixtureRequest
) -> None:
    case = _case(request)
    direct, through = _both(rig, zoo.SCENARIOS[shape], stream=STREAMS[stream], case=case)
    _assert_same_class(rig, direct, through, case)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("shape", zoo.REFUSED)
def test_a_reply_that_clients_disagree_about_is_refused(
    rig: Rig, shape: str, stream: str, request: pytest.FixtureRequest
) -> None:
    _, through = _both(rig, zoo.REFUSED[shape], stream=STREAMS[stream], case=_case(request))
    _assert_own_error(through)


@pytest.mark.parametrize("shape", zoo.SCRIPTS)
def test_odd_bytes_reach_the_caller_as_they_would(
    rig: Rig, shape: str, request: pytest.FixtureRequest
) -> None:
    rig.standin.put_script("zoo", zoo.SCRIPTS[shape])
    case = _case(request)
    direct, through = _both(rig, {"script": "zoo"}, stream=False, case=case)
    _assert_same_class(rig, direct, through, case)


@pytest.mark.parametrize("shape", zoo.REFUSED_SCRIPTS)
def test_odd_heads_are_refused(rig: Rig, shape: str, request: pytest.FixtureRequest) -> None:
    rig.standin.put_script("zoo", zoo.REFUSED_SCRIPTS[shape])
    _, through = _both(rig, {"script": "zoo"}, stream=False, case=_case(request))
    _assert_own_error(through)


@pytest.mark.parametrize("shape", zoo.WEBSOCKET)
def test_a_websocket_ends_as_it_would(rig: Rig, shape: str) -> None:
    headers = (("x-standin", json.dumps(zoo.WEBSOCKET[shape])), ("x-ws", "1"))
    ask = frame(TEXT, b'{"type": "response.create", "model": "gpt-4o", "input": "Hello"}', mask=b"abcd")
    direct, through = (
        _talk(url, upgrade_request("/v1/responses", *headers), ask)
        for url in (rig.standin.url, rig.heli.url())
    )
    wanted, status, _ = classify(direct)
    if wanted is ReplyClass.NO_HEAD:
        _assert_own_error(through)
        return
    assert classify(through)[:2] == (wanted, status)
    assert (through.ending == "timeout") == (direct.ending == "timeout")
    if direct.ending != "rst":
        assert through.final.body == direct.final.body


def _talk(url: str, handshake: bytes, ask: bytes) -> Answered:
    """Open a WebSocket, say one thing, and collect what comes until it ends or goes quiet."""
    with connect(url) as plain:
        plain.sendall(handshake)
        first = read_reply(plain, "GET", PATIENCE_S)
        if first.ending != "kept" or not first.data.startswith(b"HTTP/1.1 101"):
            return first
        plain.sendall(ask)
        rest = read_reply(plain, "GET", PATIENCE_S)
        return Answered(first.data + rest.data, rest.ending)


def test_a_connection_that_the_provider_closed_meanwhile_is_replaced(rig: Rig) -> None:
    rig.standin.put_script(
        "closing", [{"write": zoo.HEAD + b"content-length: 2\r\n\r\n{}"}, {"pause_ms": 60}, {"close": "fin"}]
    )
    request = json_post("/v1/chat/completions", _body(stream=False), ("x-standin", '{"script": "closing"}'))
    for _ in range(20):
        assert exchange(rig.heli.url(), request).final.status == 200
        time.sleep(0.055)  # so that some calls meet the closing of the connection


def _through_gateway(rig: Rig, target: str) -> Answered:
    request = json_post("/v1/x", b"{}", ("Helicone-Target-Url", target), ("x-case", target))
    return exchange(rig.heli.url("gateway"), request, timeout_s=5)


def test_a_provider_that_refuses_connections_is_told(rig: Rig) -> None:
    _assert_own_error(_through_gateway(rig, f"http://127.0.0.1:{find_free_ports(1)[0]}"))


def test_a_provider_that_speaks_no_tls_is_told(rig: Rig) -> None:
    _assert_own_error(_through_gateway(rig, f"https://127.0.0.1:{rig.standin.port}"))


@pytest.mark.parametrize("days_left", [30, -1], ids=["self-signed", "expired"])
def test_a_certificate_that_is_not_good_is_refused(rig: Rig, tmp_path: Path, days_left: int) -> None:
    pem = _certificate(tmp_path, days_left)
    with start_standin(tls=pem) as impostor:
        _assert_own_error(_through_gateway(rig, impostor.url))
        with pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(connect(impostor.url), server_hostname="127.0.0.1")


def _certificate(folder: Path, days_left: int) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days_left))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "standin.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *form)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return pem


def test_nothing_of_this_troubled_the_gateway(rig: Rig) -> None:
    """Runs last: the whole zoo has passed through this gateway."""
    assert read_metrics(rig.heli.ports["openai"])["own_faults"] == 0
    assert "Traceback" not in rig.heli.log("gateway")

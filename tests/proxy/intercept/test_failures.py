"""Whatever fails, the program's call goes on; and what must be refused is refused on every way."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from heli.proxy.intercept.authority import rotate
from heli.proxy.intercept.bundle import refresh_bundles
from heli.schema.exchange import Outcome
from tests.proxy.intercept.certificates import Root, self_signed
from tests.proxy.intercept.rig import Rig, running
from tests.proxy.intercept.test_clients import CALL, OPENAI
from tests.proxy.intercept.world import serve_pages
from tests.rel import probe
from tests.rel.free_ports import find_free_ports
from tests.rel.heli_under_test import wait_until
from tests.standin import StandIn

PROVIDERS = {
    "good": ("api.openai.com", "OPENAI"),
    "expired": ("api.anthropic.com", "ANTHROPIC"),
    "self-signed": ("api.groq.com", "GROQ"),
    "wrong name": ("api.mistral.ai", "MISTRAL"),
    "unknown root": ("api.deepseek.com", "DEEPSEEK"),
}


@pytest.fixture(scope="module")
def tls_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Each provider shows a certificate of its own kind."""
    folder = tmp_path_factory.mktemp("certificates")
    root, other = Root(folder), Root(folder, "another root")
    pems = {
        "good": root.server("localhost", name="good"),
        "expired": root.server("localhost", days=-1, name="expired"),
        "self-signed": self_signed(folder, "localhost"),
        "wrong name": root.server("elsewhere.example", name="wrong"),
        "unknown root": other.server("localhost", name="unknown"),
    }
    with ExitStack() as stack:
        environ = {"SSL_CERT_FILE": str(root.file)}
        for kind, (_, name) in PROVIDERS.items():
            port = stack.enter_context(serve_pages(pems[kind]))
            environ[f"HELI_PROVIDERS__{name}__BASE_URL"] = f"https://localhost:{port}"
        yield stack.enter_context(running(tmp_path_factory.mktemp("heli"), "", **environ))


@pytest.mark.parametrize("has_gateway", [True, False], ids=["by the gateway", "past the gateway"])
def test_providers_certificates_are_verified(tls_rig: Rig, has_gateway: bool) -> None:
    if not has_gateway:
        tls_rig.heli.kill("gateway")
        wait_until(lambda: tls_rig.metric("gateway_up") == 0, 5, "the interceptor to notice")
    taken = {}
    for kind, (host, _) in PROVIDERS.items():
        told = tls_rig.curl(f"https://{host}/v1/models", "-o", "/dev/null", "-w", "%{http_code}")
        taken[kind] = told
    if not has_gateway:
        tls_rig.heli.start("gateway")
        tls_rig.heli.wait_ready("gateway")

    assert taken == {"good": "200"} | dict.fromkeys(list(PROVIDERS)[1:], "502")


# Without the gateway.


def test_without_the_gateway_calls_go_straight_to_the_provider(rig: Rig, standin: StandIn) -> None:
    rig.a_run("run-direct01", properties={"cwd": "/work"})
    code = OPENAI.replace('"x-case": "CASE"', '"x-case": "direct", "Helicone-User-Id": "bob"')
    before = rig.metric("sent_directly_total")
    rig.heli.kill("gateway")
    try:
        assert rig.python(code, run="run-direct01").strip() == "You said: hi"
    finally:
        rig.heli.start("gateway")
        rig.heli.wait_ready("gateway")

    assert rig.metric("sent_directly_total") == before + 1
    head = standin.journal("x-case: direct")[0]["head"].lower()
    assert "helicone" not in head
    assert "heli-" not in head
    wait_until(lambda: rig.metric("gateway_up"), 5, "the interceptor to notice")
    rig.python(OPENAI.replace("CASE", "again"))
    wait_until(lambda: "again" in rig.sink.by_header("x-case"), 10, "a record once the gateway is back")
    assert "direct" not in rig.sink.by_header("x-case")


def test_a_gateway_that_hangs_is_gone_round(rig: Rig, standin: StandIn) -> None:
    worker = rig.heli.worker()
    os.kill(worker, signal.SIGSTOP)
    try:
        wait_until(lambda: rig.metric("gateway_up") == 0, 10, "the interceptor to notice")
        assert rig.python(OPENAI.replace("CASE", "hangs")).strip() == "You said: hi"
    finally:
        os.kill(worker, signal.SIGCONT)
    wait_until(lambda: rig.metric("gateway_up"), 10, "the gateway to answer again")


def test_an_agent_finishes_though_the_gateway_is_killed_again_and_again(rig: Rig) -> None:
    """Each call is recorded, marked as interrupted, or was sent without the gateway."""
    turns = 30
    agent = f"""
import openai
paced = '{{"chunks": 10, "interval_ms": 10}}'
client = openai.OpenAI(default_headers={{"x-case": "agent", "x-standin": paced}})
messages = []
for turn in range({turns}):
    messages.append({{"role": "user", "content": f"turn {{turn}}"}})
    for attempt in range(5):
        try:
            stream = client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
            break
        except (openai.APIConnectionError, openai.APIError, __import__("httpx").HTTPError):
            continue
    assert text == f"You said: turn {{turn}}", text
    print(turn, flush=True)
print("finished")
"""
    command = [sys.executable, "-c", agent]
    with subprocess.Popen(command, env=rig.environ(), stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for _ in range(3):
            for _ in range(4):
                program.stdout.readline()
            rig.heli.kill("gateway")
            rig.heli.start("gateway")
        told = program.stdout.read()

    assert told.endswith("finished\n")
    assert program.returncode == 0
    rig.heli.wait_ready("gateway")
    outcomes = wait_until(lambda: _outcomes(rig, "agent"), 20, "records of the agent")
    assert outcomes <= {Outcome.COMPLETE, Outcome.INTERRUPTED, Outcome.CLIENT_ABORTED}


def _outcomes(rig: Rig, case: str) -> set[Outcome]:
    wanted = (b"x-case", case.encode())
    return {each.outcome for each in rig.sink.all() if wanted in each.request_headers}


def test_a_program_goes_on_though_the_interceptor_is_killed(rig: Rig) -> None:
    """With no more patience than the SDK has by itself."""
    program_text = """
import openai
client = openai.OpenAI()
for turn in range(20):
    messages = [{"role": "user", "content": f"turn {turn}"}]
    reply = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    assert reply.choices[0].message.content == f"You said: turn {turn}"
    print(turn, flush=True)
print("finished")
"""
    command = [sys.executable, "-c", program_text]
    with subprocess.Popen(command, env=rig.environ(), stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for _ in range(3):
            program.stdout.readline()
        rig.heli.kill("intercept")
        rig.heli.start("intercept")
        told = program.stdout.read()
    rig.heli.wait_ready("intercept")

    assert told.endswith("finished\n")


def test_a_dead_interceptor_fails_a_program_at_once_and_clearly(rig: Rig) -> None:
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=r"(?i)failed to connect|connection refused"):
        rig.curl("https://api.openai.com/v1/models", https_proxy=f"http://127.0.0.1:{find_free_ports(1)[0]}")
    assert time.monotonic() - started < 2


def test_a_backend_that_is_away_is_not_noticed(standin: StandIn, tmp_path: Path) -> None:
    with running(tmp_path, standin.url, HELI_BACKEND__URL="http://127.0.0.1:1") as rig:
        assert rig.python(OPENAI.replace("CASE", "no-backend")).strip() == "You said: hi"


# Bounds.


@pytest.fixture(scope="module")
def tight(_standin_process: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """With a second for a head."""
    home = tmp_path_factory.mktemp("tight")
    with running(home, _standin_process.url, HELI_GATEWAY__HEADER_TIMEOUT_S="1") as rig:
        yield rig


def test_slow_heads_are_cut_wherever_they_are_slow_and_others_are_served(tight: Rig) -> None:
    with ExitStack() as stack:
        half_open = [stack.enter_context(each) for _ in range(10) for each in _half_open(tight)]

        assert tight.python(OPENAI.replace("CASE", "meanwhile")).strip() == "You said: hi"
        deadline = time.monotonic() + 8
        for each in half_open:
            each.settimeout(max(0.1, deadline - time.monotonic()))
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while each.recv(65536):
                    pass


def _half_open(rig: Rig) -> Iterator[socket.socket]:
    """Heads and handshakes that have begun and do not go on."""
    plain = socket.create_connection(("127.0.0.1", rig.port), timeout=20)
    plain.sendall(b"CONNECT api.openai.com:443 HT")
    yield plain
    yield rig.tunnel("api.openai.com")
    tunnel = rig.tunnel("api.openai.com")
    tunnel.sendall(b"\x16\x03\x01\x02\x00\x01")
    yield tunnel
    secure = rig.connect("api.openai.com")
    secure.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.op")
    yield secure


def test_a_trickle_does_not_keep_a_head_open(tight: Rig) -> None:
    with tight.connect("api.openai.com") as secure:
        secure.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n")
        started = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT012
            while time.monotonic() - started < 10:
                secure.sendall(b"x: y\r\n")
                secure.settimeout(0.2)
                try:
                    if not secure.recv(1):
                        raise ConnectionError("ended")
                except TimeoutError:
                    continue
    assert time.monotonic() - started < 6


def test_a_bomb_of_headers_is_cut_and_costs_no_memory(tight: Rig) -> None:
    pid = tight.heli.pid("intercept")
    tight.python(OPENAI.replace("CASE", "warm"))
    before = probe.read(pid).rss_bytes
    for opened in (
        lambda: socket.create_connection(("127.0.0.1", tight.port), timeout=10),
        lambda: tight.connect("api.openai.com"),
    ):
        with opened() as plain, pytest.raises(OSError):  # noqa: PT012
            plain.sendall(b"POST /v1/x HTTP/1.1\r\nHost: api.openai.com\r\n")
            for _ in range(5_000):
                plain.sendall(b"x-header: " + b"y" * 10_000 + b"\r\n")
    assert probe.read(pid).rss_bytes - before < 8 * probe.MIB


def test_a_head_beyond_the_gateways_limits_is_passed_on_without_it(tight: Rig, standin: StandIn) -> None:
    before = tight.metric("sent_directly_total")
    many = [word for number in range(220) for word in ("-H", f"x-{number}: 1")]

    reply = tight.curl("https://api.openai.com/v1/chat/completions", "--json", CALL, *many)

    assert json.loads(reply)["choices"][0]["message"]["content"] == "You said: hi"
    assert tight.metric("sent_directly_total") == before + 1


def test_pipelined_requests_are_answered_in_order(tight: Rig) -> None:
    one = b"GET /v1/pipelined/%d HTTP/1.1\r\nHost: api.openai.com\r\n\r\n"
    with tight.connect("api.openai.com") as secure:
        secure.sendall(b"".join(one % number for number in range(5)))
        data = b""
        while data.count(b"HTTP/1.1 200") < 5 or not data.rstrip().endswith(b"}"):
            piece = secure.recv(65536)
            assert piece, data
            data += piece
    places = [data.index(b"/v1/pipelined/%d" % number) for number in range(5)]
    assert places == sorted(places)


# Rotation.


def test_programs_go_on_through_a_rotation(rig: Rig) -> None:
    rig.a_run("run-before01")
    before = rig.client_tls()
    fresh = rotate(rig.paths, at_once=False)
    refresh_bundles(rig.paths)
    time_ns = int((fresh.made_at.timestamp() + 2) * 1e9)
    rig.a_run("run-after001", started_ns=time_ns)

    def issuer(run: str, context: ssl.SSLContext) -> str:
        with context.wrap_socket(
            rig.tunnel("api.openai.com", run=run), server_hostname="api.openai.com"
        ) as secure:
            return str(secure.getpeercert()["issuer"])  # type: ignore[index]

    new = fresh.certificate.subject.rfc4514_string().split("CN=")[1].split(",")[0]
    wait_until(lambda: new in issuer("run-after001", rig.client_tls()), 15, "leaves of the new authority")
    assert new not in issuer("run-before01", before)
    assert new not in issuer("", before)
    assert rig.python(OPENAI.replace("CASE", "rotated")).strip() == "You said: hi"

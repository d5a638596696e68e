"""What is no call to a model passes unread, and what heli can read it cannot use against anybody else."""

import datetime
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from heli.proxy.intercept.authority import current, rotate
from heli.proxy.intercept.bundle import make_bundle
from heli.schema.paths import Paths
from tests.proxy.intercept.certificates import Root, make_aged, write_pem
from tests.proxy.intercept.rig import Rig, ask_connect, get, running
from tests.proxy.intercept.world import CompanyProxy, serve_pages
from tests.rel.heli_under_test import wait_until
from tests.standin import StandIn

HOSTS = [f"host-{number}.example" for number in range(97)]
NEARLY = ["storage.googleapis.com", "oauth2.googleapis.com", "api.openai.com.example"]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return Root(tmp_path_factory.mktemp("outside"))


@pytest.fixture(scope="module")
def world(outside: Root) -> Iterator[CompanyProxy]:
    """Every host's web server, behind a company's proxy that wants a password."""
    pem = outside.server(*HOSTS, *NEARLY, name="world")
    with serve_pages(pem) as port, CompanyProxy(port, user="me:secret") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def rig(
    _standin_process: StandIn, world: CompanyProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    home = tmp_path_factory.mktemp("heli")
    with running(home, _standin_process.url, HTTPS_PROXY=world.url) as rig:
        yield rig


def page_of(rig: Rig, outside: Root, host: str) -> bytes:
    """Fetched by a client that trusts the world outside and not heli."""
    context = ssl.create_default_context(cafile=str(outside.file))
    with context.wrap_socket(rig.tunnel(host), server_hostname=host) as secure:
        secure.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := secure.recv(65536):
            data += piece
    return data.partition(b"\r\n\r\n")[2]


def test_a_hundred_other_hosts_are_tunnelled_and_none_is_decrypted(
    rig: Rig, outside: Root, world: CompanyProxy
) -> None:
    before, failed = rig.metric("handed_over_total"), rig.metric("handshakes_failed_total")
    for host in (*HOSTS, *NEARLY):
        assert page_of(rig, outside, host) == f"page of {host}".encode()

    tunnels = wait_until(lambda: _ended(rig, 100), 10, "the ends of 100 tunnels")
    assert rig.metric("handed_over_total") == before
    assert rig.metric("handshakes_failed_total") == failed
    assert {f"CONNECT {host}:443" for host in (*HOSTS, *NEARLY)} <= set(world.asked)
    for host in (*HOSTS, *NEARLY):
        seen = tunnels[host]
        assert seen["connections"] == 1
        assert seen["bytes_up"] > 300
        assert seen["bytes_down"] > 500
        assert seen["seconds"] > 0
        assert seen["reason"] == ""


def _ended(rig: Rig, count: int) -> dict[str, dict[str, float]] | None:
    tunnels = rig.status()["tunnels"]
    return tunnels if len(tunnels) >= count and not any(each["open"] for each in tunnels.values()) else None


def test_which_hosts_were_called_is_told_to_the_owner_only(rig: Rig) -> None:
    assert get(rig.port, "/status")[0] == 404
    assert get(rig.port, "/status", authorization="Bearer guessed")[0] == 404
    assert get(rig.port, "/healthcheck", host="evil.example")[0] == 403
    assert "host-1.example" not in get(rig.port, "/metrics")[1]


@pytest.mark.parametrize("client", ["python", "curl", "node"])
def test_a_leaf_for_a_foreign_host_is_refused_though_the_key_was_stolen(
    rig: Rig, tmp_path: Path, client: str
) -> None:
    """The same program accepts a leaf for a host of the list from the same server, or it proves nothing."""
    bundle = str(make_bundle(rig.paths, {}))
    for host, is_good in (("bank.example", False), ("127.0.0.1", False), ("api.openai.com", True)):
        with serve_pages(_stolen(rig, tmp_path, host)) as port:
            ran = subprocess.run(
                _command(client, host, port, bundle),
                env={"PATH": "/usr/bin:/bin", "NODE_EXTRA_CA_CERTS": bundle},
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        told = ran.stdout + ran.stderr
        if is_good:
            assert "page of" in told
        else:
            assert "page of" not in told
            assert ran.returncode != 0
            assert "permitted subtree" in told or "excluded subtree" in told, told


def _stolen(rig: Rig, folder: Path, host: str) -> Path:
    """What a thief of the key would make."""
    import ipaddress

    from cryptography import x509

    key = ec.generate_private_key(ec.SECP256R1())
    authority = current(rig.paths)
    now = datetime.datetime.now(datetime.UTC)
    leaf = authority.sign_leaf(host, key.public_key(), now)
    if host[0].isdigit():
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        builder = x509.CertificateBuilder(
            issuer_name=leaf.issuer,
            subject_name=leaf.subject,
            public_key=key.public_key(),
            serial_number=7,
            not_valid_before=leaf.not_valid_before_utc,
            not_valid_after=leaf.not_valid_after_utc,
        ).add_extension(address, critical=False)
        for each in leaf.extensions:
            if not isinstance(each.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(each.value, each.critical)
        from cryptography.hazmat.primitives import hashes

        leaf = builder.sign(authority.key, hashes.SHA256())
    return write_pem(folder / f"{host}.pem", key, leaf)


def _command(client: str, host: str, port: int, bundle: str) -> list[str]:
    if client == "curl":
        at = ["--connect-to", f"{host}:443:127.0.0.1:{port}", "--cacert", bundle, "--capath", "/nowhere"]
        return ["curl", "-sS", *at, f"https://{host}/"]
    if client == "node":
        name = "" if host[0].isdigit() else f"servername: '{host}',"
        code = f"""
const options = {{host: '127.0.0.1', port: {port}, {name} headers: {{host: '{host}'}}}};
require('https').get(options, reply => {{ reply.on('data', piece => console.log(String(piece))); }})
  .on('error', error => {{ console.error(error.message); process.exit(1); }});
"""
        return ["node", "-e", code]
    import sys

    code = f"""
import socket, ssl
context = ssl.create_default_context(cafile={bundle!r})
with context.wrap_socket(socket.create_connection(("127.0.0.1", {port})), server_hostname={host!r}) as secure:
    secure.sendall(b"GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n")
    print(secure.recv(65536) + secure.recv(65536))
"""
    return [sys.executable, "-c", code]


def test_a_program_that_refuses_the_certificate_is_left_alone_from_then_on(
    rig: Rig, world: CompanyProxy
) -> None:
    """For itself only: another program's calls to the host are recorded as before."""
    rig.a_run("run-refuses1")
    before = rig.metric("handed_over_total")
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(
            rig.tunnel("api.groq.com", run="run-refuses1"), server_hostname="api.groq.com"
        )
    wait_until(lambda: rig.metric("refusing_hosts"), 5, "the refusal")

    with rig.tunnel("api.groq.com", run="run-refuses1") as plain:
        wait_until(lambda: "CONNECT api.groq.com:443" in world.asked, 5, "the tunnel")
        plain.close()
    with rig.connect("api.groq.com"):
        pass

    (refusal,) = rig.status()["refusals"]
    assert (refusal["host"], refusal["run"]) == ("api.groq.com", "run-refuses1")
    assert rig.status()["tunnels"]["api.groq.com"]["reason"] == "the program refuses heli's certificate"
    assert rig.metric("handed_over_total") == before


def test_what_speaks_only_http_2_is_tunnelled(rig: Rig, world: CompanyProxy) -> None:
    context = rig.client_tls()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLCertVerificationError):  # by the world outside, whose root this client lacks
        context.wrap_socket(rig.tunnel("api.mistral.ai"), server_hostname="api.mistral.ai")

    assert "CONNECT api.mistral.ai:443" in world.asked


def test_what_is_not_tls_is_tunnelled(rig: Rig, world: CompanyProxy) -> None:
    with rig.tunnel("api.deepseek.com") as plain:
        plain.sendall(b"SSH-2.0-test\r\n")
        wait_until(lambda: "CONNECT api.deepseek.com:443" in world.asked, 5, "the tunnel")


def test_a_host_is_decrypted_once_it_is_allowed(rig: Rig, standin: StandIn) -> None:
    from tests.rel.heli_under_test import HeliUnderTest

    assert isinstance(rig.heli, HeliUnderTest)
    import sys

    command = [sys.executable, "-m", "heli", "ca", "allow", "llm.allowed.example"]
    done = subprocess.run(command, env=rig.heli.environ, capture_output=True, text=True, check=True)
    assert "must be started again" in done.stderr

    def issuer() -> str:
        try:
            with rig.connect("llm.allowed.example") as secure:
                told = dict(pair[0] for pair in secure.getpeercert()["issuer"])  # type: ignore[index]
                return told["organizationName"]
        except ssl.SSLError:
            return ""

    assert wait_until(issuer, 10, "the interceptor to see the new host") == "heli"


def test_a_host_that_the_authority_is_too_old_for_is_tunnelled_and_told(
    outside: Root, tmp_path: Path
) -> None:
    make_aged(Paths.from_environ({"HELI_HOME": str(tmp_path / "heli")}), lacking=("api.openai.com",))
    pem = outside.server("api.openai.com", name="provider")
    with (
        serve_pages(pem) as port,
        CompanyProxy(port) as proxy,
        running(tmp_path / "heli", "", HTTPS_PROXY=proxy.url) as rig,
    ):
        assert page_of(rig, outside, "api.openai.com") == b"page of api.openai.com"
        told = rig.status()
        assert told["unreached"] == ["api.openai.com"]
        assert "authority was made before" in told["tunnels"]["api.openai.com"]["reason"]

        made_at = rotate(rig.paths, at_once=False).made_at
        rig.a_run("run-after001", started_ns=int((made_at.timestamp() + 2) * 1e9))
        wait_until(lambda: rig.status()["unreached"] == [], 15, "the new authority")
        with rig.connect("api.openai.com", run="run-after001"):
            assert rig.status()["tunnels"]["api.openai.com"]["reason"] == ""


# Who may go where.


@pytest.mark.parametrize("authority", ["127.0.0.1", "[::1]", "localhost", "10.255.255.1", "169.254.169.254"])
def test_nobody_reaches_this_machines_network_by_the_proxy(bare: Rig, authority: str) -> None:
    with serve_pages() as port, socket.create_connection(("127.0.0.1", bare.port), timeout=10) as plain:
        status, _ = ask_connect(plain, f"{authority}:{port}")
        assert status == 403
        reply = _plain_get(bare, f"http://{authority}:{port}/")
        assert reply.startswith(b"HTTP/1.1 403 ")


def test_a_run_reaches_what_its_program_reaches_anyway_but_not_heli(bare: Rig) -> None:
    bare.a_run("run-inside01")
    with serve_pages() as port:
        with bare.tunnel("127.0.0.1", port, run="run-inside01") as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: inside\r\n\r\n")
            assert b"200 OK" in plain.recv(65536)
        reply = _plain_get(bare, f"http://127.0.0.1:{port}/x", run="run-inside01")
        assert reply.endswith(f"page of 127.0.0.1:{port}".encode())
    for name in ("gateway", "backend", "store", "intercept"):
        with socket.create_connection(("127.0.0.1", bare.port), timeout=10) as plain:
            assert ask_connect(plain, f"127.0.0.1:{bare.heli.ports[name]}", "run-inside01")[0] == 403


@pytest.fixture(scope="module")
def bare(_standin_process: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Without a proxy of a company, and with no private target allowed."""
    home = tmp_path_factory.mktemp("bare")
    with running(home, _standin_process.url, HELI_GATEWAY__ALLOW_TARGETS="") as rig:
        yield rig


def _plain_get(rig: Rig, url: str, run: str = "") -> bytes:
    import base64

    credentials = base64.b64encode(f"{run}:x".encode()).decode()
    with socket.create_connection(("127.0.0.1", rig.port), timeout=10) as plain:
        lines = [f"GET {url} HTTP/1.1", f"Host: {url.split('/')[2]}", "Proxy-Connection: keep-alive"]
        lines += [f"Proxy-Authorization: Basic {credentials}"] if run else []
        plain.sendall("\r\n".join([*lines, "", ""]).encode())
        data = b""
        while piece := plain.recv(65536):
            data += piece
    return data


def test_a_request_for_a_plain_url_is_passed_on_without_the_proxys_headers(
    bare: Rig, standin: StandIn
) -> None:
    bare.a_run("run-plain001")

    reply = _plain_get(bare, f"{standin.url}/v1/models?plain=1", run="run-plain001")

    assert reply.startswith(b"HTTP/1.1 ")
    (entry,) = standin.wait_for(lambda each: each.journal("plain=1"))
    assert entry["target"] == "/v1/models?plain=1"
    assert "proxy-" not in entry["head"].lower()
    assert "helicone" not in entry["head"].lower()


def test_a_plain_url_of_a_model_host_is_recorded(bare: Rig, standin: StandIn) -> None:
    bare.a_run("run-plain002")

    _plain_get(bare, "http://api.openai.com/v1/models?plain=2", run="run-plain002")

    def found() -> list[str]:
        return [each.origin for each in bare.sink.all() if "plain=2" in each.path]

    assert wait_until(found, 10, "the record") == ["http://api.openai.com"]
    headers = json.dumps([each.request_headers for each in bare.sink.all()], default=bytes.decode)
    assert "session-of-run-plain002" in headers

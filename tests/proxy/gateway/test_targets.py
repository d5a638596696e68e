"""Where calls may go."""

import asyncio
import ipaddress

import pytest

from heli.proxy.gateway.heads import RequestHead, read_request_head
from heli.proxy.gateway.targets import Target, TargetRefusedError, Targets, is_public
from heli.schema.exchange import Listener


def head(*lines: str) -> RequestHead:
    return read_request_head("\r\n".join(["POST /v1/x HTTP/1.1", "Host: h", *lines, "", ""]).encode(), 100)


def targets(allowed: tuple[str, ...] = (), **base_urls: str) -> Targets:
    return Targets(base_urls, allowed, own_ports=(8787, 8585))


def test_each_listener_has_its_provider() -> None:
    assert targets().choose(Listener.OPENAI, head()) == Target(
        "https://api.openai.com", "api.openai.com", 443, is_tls=True, is_trusted=False
    )
    assert targets().choose(Listener.ANTHROPIC, head()).host == "api.anthropic.com"


def test_the_operators_base_url_is_called_and_the_public_origin_is_told() -> None:
    target = targets(openai="http://127.0.0.1:9/v1").choose(Listener.OPENAI, head())

    assert target == Target("https://api.openai.com", "127.0.0.1", 9, is_tls=False, is_trusted=True)
    assert target.host_header == b"127.0.0.1:9"


def test_the_gateway_port_wants_a_target_and_takes_its_origin() -> None:
    target = targets().choose(
        Listener.GATEWAY, head("Helicone-Target-Url: https://API.groq.com:443/openai/v1")
    )

    assert (target.origin, target.host_header) == ("https://api.groq.com", b"api.groq.com")
    with pytest.raises(TargetRefusedError, match="missing target"):
        targets().choose(Listener.GATEWAY, head())


@pytest.mark.parametrize("url", ["ftp://h", "https://", "/v1", "https://h:99999", "http://[::1", "\xe9://x"])
def test_a_target_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(TargetRefusedError, match="invalid target"):
        targets().choose(Listener.GATEWAY, head(f"Helicone-Target-Url: {url}"))


def test_a_providers_own_port_takes_known_hosts_only() -> None:
    azure = targets().choose(Listener.OPENAI, head("Helicone-OpenAI-Api-Base: https://me.openai.azure.com"))

    assert azure.host == "me.openai.azure.com"
    with pytest.raises(TargetRefusedError, match="not a known provider"):
        targets().choose(Listener.OPENAI, head("Helicone-Target-Url: https://evil.example"))


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "0.0.0.0",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "240.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::",
    "::127.0.0.1",
    "2001:0:1::1",
    "2001:db8::1",
    "64:ff9b:1::7f00:1",
    "192.88.99.1",
    "fec0::1",
    "2001:20::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_not_public_in_any_spelling(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_loopback_is_refused_in_any_spelling(host: str) -> None:
    found = targets()

    with pytest.raises((TargetRefusedError, OSError)):
        asyncio.run(found.resolve(found.of(f"http://{host}:9999")))


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        ("localhost:11434", "http://localhost:11434"),
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("127.0.0.0/8", "http://localhost:11434"),
    ],
)
def test_the_operator_may_allow_a_private_target(allowed: str, origin: str) -> None:
    found = targets((allowed, "::1/128"))

    assert "127.0.0.1" in asyncio.run(found.resolve(found.of(origin)))


def test_a_target_without_end_is_refused() -> None:
    with pytest.raises(TargetRefusedError, match="invalid target"):
        targets().choose(Listener.GATEWAY, head(f"Helicone-Target-Url: https://{'a.' * 200}example"))


def test_heli_itself_is_never_a_target() -> None:
    found = targets(("127.0.0.1",))

    with pytest.raises(TargetRefusedError, match="heli itself"):
        asyncio.run(found.resolve(found.of("http://127.0.0.1:8585")))

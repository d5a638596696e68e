"""Which proxy leads to a host, by the variables that companies set."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from heli.proxy.outbound_proxy import OutboundProxies, OutboundProxy, connect_through, start_tls_within
from tests.proxy.intercept.certificates import Root


def test_each_scheme_has_its_own_and_all_proxy_stands_in() -> None:
    proxies = OutboundProxies({"HTTPS_PROXY": "http://p:1", "all_proxy": "q:2"})

    assert proxies.find("https", "api.openai.com", 443) == OutboundProxy("p", 1)
    assert proxies.find("http", "example.com", 80) == OutboundProxy("q", 2)


def test_a_proxy_may_be_spoken_to_over_tls() -> None:
    proxies = OutboundProxies({"HTTPS_PROXY": "https://me:x@p", "HTTP_PROXY": "https://p:8443"})

    assert proxies.find("https", "api.openai.com", 443) == OutboundProxy(
        "p", 443, "Basic bWU6eA==", is_tls=True
    )
    assert proxies.find("http", "example.com", 80) == OutboundProxy("p", 8443, is_tls=True)


def test_credentials_are_shown_to_the_proxy() -> None:
    proxy = OutboundProxies({"https_proxy": "http://me:p%40ss@p:1"}).find("https", "x.example", 443)

    assert proxy == OutboundProxy("p", 1, "Basic bWU6cEBzcw==")


@pytest.mark.parametrize(
    ("spared", "host", "is_spared"),
    [
        ("example.com", "example.com", True),
        ("example.com", "a.example.com", True),
        (".example.com", "a.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("example.com", "notexample.com", False),
        ("example.com:443", "example.com", True),
        ("example.com:8443", "example.com", False),
        ("a, example.com  b", "example.com", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("*", "anything.example", True),
        ("", "127.0.0.1", True),
        ("", "localhost", True),
        ("", "api.openai.com", False),
    ],
)
def test_no_proxy_spares_hosts(spared: str, host: str, is_spared: bool) -> None:
    proxies = OutboundProxies({"HTTPS_PROXY": "http://p:1", "NO_PROXY": spared})

    assert (proxies.find("https", host, 443) is None) == is_spared


@pytest.mark.parametrize("url", ["http://run-abc:x@127.0.0.1:8791", "http://localhost:8791", "[::1]:8791"])
def test_heli_itself_is_no_way_out(url: str) -> None:
    assert OutboundProxies({"HTTPS_PROXY": url}, (8791,)).find("https", "api.openai.com", 443) is None


@pytest.mark.parametrize("url", ["socks5://p:1", "socks5h://p:1", "http://p:notaport", "http://", "https://"])
def test_what_cannot_be_used_is_left_out(url: str) -> None:
    assert OutboundProxies({"HTTPS_PROXY": url}).find("https", "api.openai.com", 443) is None


@pytest.mark.parametrize(
    ("answer", "is_good"),
    [
        (b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nrest", True),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", False),
        (b"HTTP/1.1 200", False),
        (b"x" * 20_000, False),
        (b"\r\n\r\n", False),
    ],
)
def test_a_proxys_answer_is_believed_only_when_it_is_yes(answer: bytes, is_good: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, answer))
        thread.start()
        proxy = OutboundProxy("127.0.0.1", server.getsockname()[1])
        try:
            if is_good:
                assert asyncio.run(_rest(proxy)) == b"rest"
            else:
                with pytest.raises(OSError):
                    asyncio.run(_rest(proxy))
        finally:
            thread.join()


async def _rest(proxy: OutboundProxy) -> bytes:
    transport, rest = await connect_through(proxy, "api.openai.com", 443, None)
    transport.close()
    return rest


def _answer(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += connection.recv(4096)
        assert asked.startswith(b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n")
        connection.sendall(answer)


YES = b"HTTP/1.1 200 OK\r\n\r\n"


def _reset(connection: ssl.SSLSocket) -> None:
    connection.send(YES)
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _leave_at_once(connection: ssl.SSLSocket) -> None:
    connection.send(YES)
    connection.unwrap()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("leave", [_reset, _leave_at_once])
def test_a_proxy_over_tls_that_ends_the_tunnel_is_noticed(
    tmp_path: Path, leave: Callable[[ssl.SSLSocket], None], run: Callable[..., None]
) -> None:
    root = Root(tmp_path)
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(root.server("localhost"))
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server, shown.wrap_socket(server.accept()[0], server_side=True) as connection:
            connection.recv(65536)
            try:
                leave(connection)
            except OSError:
                return

    async def connect() -> None:
        tls = ssl.create_default_context(cafile=root.file)
        proxy = OutboundProxy("localhost", server.getsockname()[1], is_tls=True)
        transport, _ = await connect_through(proxy, "api.example", 443, tls)
        try:
            async with asyncio.timeout(10):
                with pytest.raises(OSError, match=r"ended|reset|closed|EOF|broken") as told:
                    await start_tls_within(transport, asyncio.Protocol(), tls, "api.example")
            assert not isinstance(told.value, TimeoutError)
        finally:
            transport.abort()

    thread = threading.Thread(target=serve)
    thread.start()
    run(connect())
    thread.join(10)

"""The proxy by which this machine reaches the internet, where the environment names one, as companies do."""

import asyncio
import base64
import ipaddress
import logging
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

log = logging.getLogger(__name__)

_LARGEST_REPLY = 16 * 1024


class OutboundProxy(msgspec.Struct, frozen=True):
    """An HTTP proxy that tunnels by CONNECT."""

    host: str
    port: int
    authorization: str = ""
    """The value of `Proxy-Authorization`, if it wants one."""


class OutboundProxies:
    """Which proxy leads to a host, by `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`."""

    def __init__(self, environ: Mapping[str, str], own_ports: Collection[int] = ()) -> None:
        """A proxy on loopback at one of `own_ports` is heli itself: left out, or calls would go round."""
        self._by_scheme = {
            scheme: _read(environ, f"{scheme}_proxy", own_ports) for scheme in ("https", "http")
        }
        listed = _value(environ, "no_proxy").replace(",", " ").split()
        self._spared = [entry.lower().removeprefix("*.").removeprefix(".") for entry in listed]

    def find(self, scheme: str, host: str, port: int) -> OutboundProxy | None:
        """The proxy for `scheme://host:port`; `None` when it is called directly."""
        proxy = self._by_scheme.get(scheme)
        return proxy if proxy is not None and not self._spares(host.lower().rstrip("."), port) else None

    def _spares(self, host: str, port: int) -> bool:
        address = _address(host)
        if host == "localhost" or (address is not None and address.is_loopback):
            return True
        return any(_matches(entry, host, port, address) for entry in self._spared)


async def connect_through(proxy: OutboundProxy, host: str, port: int) -> tuple[socket.socket, bytes]:
    """A connection to `host:port` by way of a proxy, and what came on it already.

    Raises `OSError` when the proxy does not let it through.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    sock = await connect_to_any(loop, found)
    try:
        await loop.sock_sendall(sock, connect_head(proxy, host, port))
        return sock, await _read_answer(loop, sock, host)
    except BaseException:
        sock.close()
        raise


async def connect_to_any(loop: asyncio.AbstractEventLoop, found: Sequence[tuple[Any, ...]]) -> socket.socket:
    """The first of the addresses that takes a connection. Raises the last one's `OSError`."""
    for place, (family, kind, protocol, _, address) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError:
            sock.close()
            if place == len(found) - 1:
                raise
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise OSError("the proxy has no address")


def connect_head(proxy: OutboundProxy, host: str, port: int) -> bytes:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _read_answer(loop: asyncio.AbstractEventLoop, sock: socket.socket, host: str) -> bytes:
    """What came behind the head of the proxy's reply."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = await loop.sock_recv(sock, 4096)
        data += piece
        if not piece or len(data) > _LARGEST_REPLY:
            raise OSError(f"the proxy ended the connection that should lead to {host}")
    head, _, rest = data.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if not status or not status[0].startswith(b"2"):
        told = head.split(b"\r\n", 1)[0].decode("latin-1")
        raise OSError(f"the proxy does not let a connection to {host} through: {told}")
    return rest


def _read(environ: Mapping[str, str], name: str, own_ports: Collection[int]) -> OutboundProxy | None:
    text = _value(environ, name) or _value(environ, "all_proxy")
    if not text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or 80
    except ValueError:
        log.warning("%s is not the URL of a proxy; it is not used", name.upper())
        return None
    host = parts.hostname or ""
    if parts.scheme != "http" or not host:
        log.warning("%s names a %s proxy, which heli does not speak to; it is not used", name, parts.scheme)
        return None
    address = _address(host)
    if port in own_ports and (host == "localhost" or (address is not None and address.is_loopback)):
        return None
    credentials = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return OutboundProxy(host, port, credentials)


def _value(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def _matches(
    entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    """Whether an entry of `NO_PROXY` means this host: a name or what ends in it, an address, a network."""
    if entry == "*":
        return True
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and ":" not in name:
        if int(number) != port:
            return False
        entry = name
    if host == entry or host.endswith(f".{entry}"):
        return True
    if address is None:
        return False
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None

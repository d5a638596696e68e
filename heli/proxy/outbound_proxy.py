"""The proxy by which this machine reaches the internet, where the environment names one, as companies do."""

import asyncio
import base64
import ipaddress
import logging
import ssl
from collections.abc import Collection, Mapping
from urllib.parse import unquote, urlsplit

import msgspec

log = logging.getLogger(__name__)

_LARGEST_REPLY = 16 * 1024
GOODBYE_S = 2.0
"""How long a proxy that is spoken to over TLS may take to say goodbye."""
_LOOK_S = 0.1


class OutboundProxy(msgspec.Struct, frozen=True):
    """An HTTP proxy that tunnels by CONNECT."""

    host: str
    port: int
    authorization: str = ""
    """The value of `Proxy-Authorization`, if it wants one."""
    is_tls: bool = False
    """It is spoken to over TLS, and shows a certificate of its own."""


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


async def connect_through(
    proxy: OutboundProxy, host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.Transport, bytes]:
    """A connection to `host:port` by way of a proxy, its reading paused, and what came on it already.

    `tls` is for the connection to the proxy itself, where that `is_tls`. Raises `OSError` when the proxy
    does not let it through.
    """
    loop = asyncio.get_running_loop()
    transport, asking = await loop.create_connection(
        lambda: _Asking(host, loop.create_future()),
        proxy.host,
        proxy.port,
        ssl=tls if proxy.is_tls else None,
        server_hostname=proxy.host if proxy.is_tls else None,
        ssl_shutdown_timeout=GOODBYE_S if proxy.is_tls else None,
    )
    try:
        transport.write(connect_head(proxy, host, port))
        return transport, await asking.answer
    except BaseException:
        transport.abort()
        raise


async def start_tls_within(
    transport: asyncio.Transport, protocol: asyncio.Protocol, tls: ssl.SSLContext, name: str
) -> asyncio.Transport:
    """TLS with the host `name` at the far end of a connection. Raises `OSError`.

    uvloop tells nobody when a connection that is TLS itself ends meanwhile, so that it has to be looked at.
    """
    loop = asyncio.get_running_loop()
    starting = asyncio.ensure_future(loop.start_tls(transport, protocol, tls, server_hostname=name))
    try:
        while not (await asyncio.wait({starting}, timeout=_LOOK_S))[0]:
            if transport.is_closing():
                raise OSError(f"the proxy ended the connection that led to {name}")
        inner = starting.result()
    finally:
        starting.cancel()
    if inner is None:
        raise OSError(f"the connection to {name} ended as TLS began")
    return inner


class _Asking(asyncio.Protocol):
    """Waits for the proxy's answer to CONNECT."""

    def __init__(self, host: str, answer: asyncio.Future[bytes]) -> None:
        self._host = host
        self._data = b""
        self._transport: asyncio.Transport
        self.answer = answer
        """What came behind the head of the answer, if that is yes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._data += data
        if b"\r\n\r\n" in self._data:
            self._transport.pause_reading()
            self._judge(*self._data.split(b"\r\n\r\n", 1))
        elif len(self._data) > _LARGEST_REPLY:
            self.connection_lost(None)

    def _judge(self, head: bytes, rest: bytes) -> None:
        status = head.split(b" ", 2)[1:2]
        if self.answer.done():
            return
        if status and status[0].startswith(b"2"):
            self.answer.set_result(rest)
        else:
            told = head.split(b"\r\n", 1)[0].decode("latin-1")
            reason = f"the proxy does not let a connection to {self._host} through: {told}"
            self.answer.set_exception(OSError(reason))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            reason = f"the proxy ended the connection that should lead to {self._host}"
            self.answer.set_exception(OSError(reason))


def connect_head(proxy: OutboundProxy, host: str, port: int) -> bytes:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _read(environ: Mapping[str, str], name: str, own_ports: Collection[int]) -> OutboundProxy | None:
    text = _value(environ, name) or _value(environ, "all_proxy")
    if not text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        log.warning("%s is not the URL of a proxy; it is not used", name.upper())
        return None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        log.warning("%s names a %s proxy, which heli does not speak to; it is not used", name, parts.scheme)
        return None
    address = _address(host)
    if port in own_ports and (host == "localhost" or (address is not None and address.is_loopback)):
        return None
    credentials = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return OutboundProxy(host, port, credentials, parts.scheme == "https")


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

"""Connections that the interceptor opens itself: for tunnels, and for requests to `http://` URLs.

A name is resolved once, and the address that was checked is the one that is called. Who shows the name of a
run of this machine's user may reach what that user's programs reach anyway; for others the gateway's rules
hold, so that nobody gets to this machine's own network through heli.
"""

import asyncio
import socket
import ssl
import time
from pathlib import Path

import msgspec

from heli.proxy.gateway.targets import Target, TargetRefusedError, Targets
from heli.proxy.intercept.tunnelled import Tunnelled
from heli.proxy.outbound_proxy import GOODBYE_S, OutboundProxies, OutboundProxy, connect_through

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

RUN_PATIENCE_S = 1.0
REACH_PATIENCE_S = 2.0
"""The gateway looks again, and tells the program when it does not find the host."""
FRESH_S = 30.0
MOST_KNOWN = 1024
KEEPALIVE = [
    (getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
]


class Dialer:
    """Opens connections by the operator's rules."""

    def __init__(self, targets: Targets, proxies: OutboundProxies, roots: Path, timeout_s: float) -> None:
        """`roots` is a file of those that a proxy's own certificate may lead to."""
        self._targets = targets
        self._proxies = proxies
        self._roots = roots
        self._tls: ssl.SSLContext | None = None
        self._timeout_s = timeout_s
        self._reach: dict[tuple[str, int], tuple[float, bool]] = {}
        """Since when it is known of a host, and what."""

    def proxy_for(self, scheme: str, host: str, port: int) -> OutboundProxy | None:
        return self._proxies.find(scheme, host, port)

    def target(self, scheme: str, host: str, port: int, *, is_known: bool) -> Target:
        """Raises `TargetRefusedError` for what is not a host."""
        name = f"[{host}]" if ":" in host else host
        try:
            target = self._targets.of(f"{scheme}://{name}:{port}")
        except (ValueError, UnicodeError) as error:
            raise TargetRefusedError(f"{host[:200]!r} is not a host") from error
        return msgspec.structs.replace(target, host=host, port=port, is_trusted=target.is_trusted or is_known)

    async def is_within_reach(self, host: str, port: int) -> bool:
        """Whether the gateway would call this host; `True` also where it is not known."""
        known = self._reach.get((host, port))
        if known is not None and time.monotonic() - known[0] < FRESH_S:
            return known[1]
        found = await self._look_for(host, port)
        if len(self._reach) >= MOST_KNOWN:
            self._reach.clear()
        self._reach[host, port] = time.monotonic(), found
        return found

    async def _look_for(self, host: str, port: int) -> bool:
        if self.proxy_for("https", host, port) is not None:
            return True
        try:
            async with asyncio.timeout(REACH_PATIENCE_S):
                await self._targets.resolve(self.target("https", host, port, is_known=False))
        except TargetRefusedError:
            return False
        except (OSError, ValueError):
            return True
        return True

    async def open_for(self, facts: Tunnelled, scheme: str) -> Streams:
        """A connection to where a program wants to go.

        Whose it is matters, and is waited for, only where not everybody may go. Raises as `open`.
        """
        host, port, is_known = facts.host, facts.port, facts.run is not None
        try:
            return await self.open(self.target(scheme, host, port, is_known=is_known), scheme)
        except TargetRefusedError:
            if is_known or await facts.find_run(RUN_PATIENCE_S) is None:
                raise
        return await self.open(self.target(scheme, host, port, is_known=True), scheme)

    async def open(self, target: Target, scheme: str) -> Streams:
        """A connection to an address that was checked, or by the machine's own proxy.

        Raises `TargetRefusedError`, and `OSError`, which a timeout is too.
        """
        async with asyncio.timeout(self._timeout_s):
            proxy = self.proxy_for(scheme, target.host, target.port)
            if proxy is not None:
                return await self._open_through(proxy, target, scheme)
            addresses = await self._targets.resolve(target)
            for address in addresses[:-1]:
                try:
                    async with asyncio.timeout(self._timeout_s / len(addresses)):
                        return _tuned(await asyncio.open_connection(address, target.port))
                except OSError:
                    continue
            if not addresses:
                raise OSError(f"{target.host} has no address")
            return _tuned(await asyncio.open_connection(addresses[-1], target.port))

    async def _open_through(self, proxy: OutboundProxy, target: Target, scheme: str) -> Streams:
        """Tunnels go by CONNECT; to requests for `http://` URLs a proxy listens as they are."""
        tls = self._tls_context() if proxy.is_tls else None
        if scheme == "http":
            patience = GOODBYE_S if tls else None
            return _tuned(
                await asyncio.open_connection(proxy.host, proxy.port, ssl=tls, ssl_shutdown_timeout=patience)
            )
        transport, rest = await connect_through(proxy, target.host, target.port, tls)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        reader.feed_data(rest)
        transport.resume_reading()
        return _tuned((reader, asyncio.StreamWriter(transport, protocol, reader, loop)))

    def _tls_context(self) -> ssl.SSLContext:
        """For proxies that are spoken to over TLS."""
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._roots)
        return self._tls


def _tuned(streams: Streams) -> Streams:
    tune(streams[1])
    return streams


def tune(writer: asyncio.StreamWriter) -> None:
    """Have the kernel ask after a silent peer, who may be gone, and send each piece at once."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        # asyncio does this too, but not for sockets that were accepted from one that names no protocol.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)

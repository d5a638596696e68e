"""Connections to providers, kept open between calls."""

import asyncio
import socket
import ssl
from typing import Protocol

from heli.proxy.gateway.connection import Connection, Outbox
from heli.proxy.gateway.counters import Counters
from heli.proxy.gateway.outside import NOTHING_SPECIAL, Outside
from heli.proxy.gateway.targets import Target, Targets
from heli.proxy.outbound_proxy import OutboundProxy, connect_through

REST_S = 30.0
"""A connection may rest this long; providers close theirs after a minute or more."""
MOST_RESTING = 512
"""Resting connections for each target."""


_KEEPALIVE = [
    (getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
]


class ReplyListener(Protocol):
    """A call that waits for a reply on a connection."""

    def reply_received(self, data: bytes) -> None: ...

    def upstream_lost(self, error: Exception | None) -> None:
        """The provider ended the connection: cleanly, or with an error."""

    def upstream_is_full(self) -> None:
        """The provider reads slower than the caller sends."""

    def upstream_has_room(self) -> None: ...


class UpstreamConnection(Connection):
    """One connection to a provider: carrying a call, or resting. Has the methods of an `asyncio.Protocol`."""

    __slots__ = ("call", "is_held", "is_lost", "key", "pool", "rests_since", "was_used")

    def __init__(self, pool: "Pool", key: "PoolKey") -> None:
        super().__init__(pool.outbox)
        self.pool = pool
        self.key = key
        self.call: ReplyListener | None = None
        self.is_lost = False
        self.is_held = False
        """Nothing is read from it, as the caller is slower."""
        self.was_used = False
        """A call has been carried before."""
        self.rests_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:  # a model may think for minutes, and something on the way may forget us
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def data_received(self, data: bytes) -> None:
        if self.due:  # the request has not gone out: this is no reply to it, and it may go elsewhere
            self.transport.abort()
            self._lost(None)
        elif self.call is not None:
            self.call.reply_received(data)
        else:
            self.pool.drop(self)

    def eof_received(self) -> bool:
        self._lost(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)

    def _lost(self, error: Exception | None) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        self.due = b""
        call, self.call = self.call, None
        if call is not None:
            call.upstream_lost(error)
        else:
            self.pool.forget(self)

    def pause_writing(self) -> None:
        if self.call is not None:
            self.call.upstream_is_full()

    def resume_writing(self) -> None:
        if self.call is not None:
            self.call.upstream_has_room()

    def hold(self) -> None:
        """Read no more until `let_go`: the caller is slower than the provider."""
        if not self.is_lost and not self.is_held:
            self.is_held = True
            self.transport.pause_reading()

    def let_go(self) -> None:
        if self.is_held:
            self.is_held = False
            if not self.is_lost and not self.transport.is_closing():
                self.transport.resume_reading()

    def abort(self) -> None:
        """End the connection at once; nobody is told."""
        self.call = None
        self.is_lost = True
        self.due = b""
        self.transport.abort()


type PoolKey = tuple[str, str, int]


class Pool:
    """Connections by target. A call takes one that rests, or has one made."""

    def __init__(
        self,
        targets: Targets,
        counters: Counters,
        connect_timeout_s: float,
        outbox: Outbox,
        now: float,
        outside: Outside = NOTHING_SPECIAL,
    ) -> None:
        self._targets = targets
        self._counters = counters
        self._timeout_s = connect_timeout_s
        self.outbox = outbox
        self._outside = outside
        self._resting: dict[PoolKey, list[UpstreamConnection]] = {}
        self._tls: ssl.SSLContext | None = None
        self.now = now
        """The coarse clock, set by the worker's sweep."""

    def take(self, target: Target) -> UpstreamConnection | None:
        """A connection that rests, the one used last; `None` if there is none."""
        resting = self._resting.get((target.origin, target.host, target.port))
        while resting:
            connection = resting.pop()
            if not connection.is_lost and not connection.transport.is_closing():
                self._counters.connections_reused += 1
                return connection
        return None

    def rest(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose call is over for the next one."""
        connection.call = None
        connection.let_go()
        connection.was_used = True
        connection.rests_since = self.now
        resting = self._resting.setdefault(connection.key, [])
        if len(resting) < MOST_RESTING:
            resting.append(connection)
        else:
            connection.abort()

    def drop(self, connection: UpstreamConnection) -> None:
        """A resting connection misbehaves: end it."""
        self.forget(connection)
        connection.abort()

    def forget(self, connection: UpstreamConnection) -> None:
        """A resting connection is gone."""
        resting = self._resting.get(connection.key, [])
        if connection in resting:
            resting.remove(connection)

    async def connect(self, target: Target) -> UpstreamConnection:
        """A fresh connection, to an address that was checked.

        Raises `TargetRefusedError`, `TimeoutError`, and `OSError` (which TLS errors are) when it fails.
        """
        async with asyncio.timeout(self._timeout_s):
            proxy = self._outside.proxy_to(target)
            if proxy is not None:
                return await self._connect_through(proxy, target)
            addresses = await self._targets.resolve(target)
            for address in addresses[:-1]:
                try:
                    async with asyncio.timeout(self._timeout_s / len(addresses)):
                        return await self._connect_to(target, address)
                except ssl.SSLError:
                    raise
                except OSError:  # which a timeout is too: the next address may answer
                    continue
            if addresses:
                return await self._connect_to(target, addresses[-1])
        raise OSError(f"{target.host} has no address")

    async def _connect_through(self, proxy: OutboundProxy, target: Target) -> UpstreamConnection:
        """By way of the machine's own proxy, which may know names that are not known here."""
        try:
            async with asyncio.timeout(self._timeout_s / 4):
                await self._targets.resolve(target)
        except OSError:
            pass
        sock, _ = await connect_through(proxy, target.host, target.port)
        try:
            return await self._open(target, sock=sock)
        except BaseException:
            sock.close()
            raise

    async def _connect_to(self, target: Target, address: str) -> UpstreamConnection:
        return await self._open(target, address=address)

    async def _open(
        self, target: Target, *, address: str = "", sock: socket.socket | None = None
    ) -> UpstreamConnection:
        """A connection to an address, or on a socket that leads to the target already."""
        loop = asyncio.get_running_loop()
        key = (target.origin, target.host, target.port)
        tls = self._tls_context() if target.is_tls else None
        name = target.host if tls else None
        if sock is not None:
            _, connection = await loop.create_connection(  # type: ignore[type-var]
                lambda: UpstreamConnection(self, key), sock=sock, ssl=tls, server_hostname=name
            )
        else:
            _, connection = await loop.create_connection(  # type: ignore[type-var]
                lambda: UpstreamConnection(self, key), address, target.port, ssl=tls, server_hostname=name
            )
        self._counters.connections_opened += 1
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._outside.tls_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def sweep(self, now: float) -> None:
        """End connections that have rested too long."""
        self.now = now
        for resting in self._resting.values():
            while resting and now - resting[0].rests_since > REST_S:
                resting.pop(0).abort()

    def close(self) -> None:
        """End all connections that rest."""
        for resting in self._resting.values():
            for connection in resting:
                connection.abort()
        self._resting.clear()

    @property
    def resting(self) -> int:
        """How many connections rest."""
        return sum(len(resting) for resting in self._resting.values())

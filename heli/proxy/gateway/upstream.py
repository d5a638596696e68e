"""Connections to providers, kept open between calls; `connecting` makes them."""

import asyncio
import socket
from typing import Protocol

from heli.proxy.gateway.connection import Connection, Outbox
from heli.proxy.gateway.counters import Counters

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

    def __init__(self, pool: "Pool", key: str) -> None:
        super().__init__(pool.outbox)
        self.pool = pool
        self.key = key
        """As `Target.pool_key`."""
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


class Pool:
    """Connections that rest, by their targets' key."""

    def __init__(self, counters: Counters, outbox: Outbox, now: float) -> None:
        self._counters = counters
        self.outbox = outbox
        self._resting: dict[str, list[UpstreamConnection]] = {}
        self.now = now
        """The coarse clock, set by the worker's sweep."""

    def take(self, key: str) -> UpstreamConnection | None:
        """A connection that rests, the one used last; `None` if there is none."""
        resting = self._resting.get(key)
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

"""One decrypted connection, in mitmproxy's hands, and the bounds that mitmproxy does not set itself."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from mitmproxy.connection import Connection, Server
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events, mode_specs, server

from heli.proxy.intercept.breaking import reset
from heli.proxy.intercept.http_layer import FarSide, layers_of
from heli.proxy.intercept.tunnelled import Tunnelled

MOST_WAITING_EVENTS = 16
"""Pieces of a body, of at most 64 KiB each."""
_MODE = mode_specs.ProxyMode.parse("regular")


class PushedBack:
    """A reader that gives bytes once more that were read to look at them."""

    def __init__(self, reader: asyncio.StreamReader, data: bytes) -> None:
        self._reader = reader
        self._data = data

    async def read(self, count: int = -1) -> bytes:
        if self._data:
            data, self._data = self._data, b""
            return data
        return await self._reader.read(count)


class _FarReader:
    """A reader of the gateway or a provider that tells of a break before mitmproxy takes it for an end."""

    def __init__(self, reader: Any, on_break: Callable[[], Awaitable[None]]) -> None:
        self._reader = reader
        self._on_break = on_break

    async def read(self, count: int = -1) -> bytes:
        try:
            data: bytes = await self._reader.read(count)
        except OSError:
            await self._on_break()
            raise
        return data


class DecryptedConnection(server.LiveConnectionHandler):
    """A program's connection whose TLS ends here. Its requests go where the addon sends them."""

    def __init__(
        self, master: Master, reader: Any, writer: asyncio.StreamWriter, options: Options, facts: Tunnelled
    ) -> None:
        super().__init__(reader, writer, options, _MODE)
        self.facts = facts
        self._master = master
        self._began: float | None = time.monotonic()
        """When the handshake or the head under way began; `None` when neither is."""
        context = self.layer.context
        context.server.address = (facts.host, facts.port)
        self.layer = layers_of(facts, context)
        self._loop = asyncio.get_running_loop()
        self.has_crashed = False
        self._is_caught_up = asyncio.Event()
        self._most_buffered = int(options.heli_head_bytes)

    async def handle_hook(self, hook: commands.StartHook) -> None:
        with self.timeout_watchdog.disarm():
            await self._master.addons.handle_lifecycle(hook)

    async def handle_connection(self, connection: Connection) -> None:
        if connection is not self.client:
            io = self.transports[connection]
            reader: Any = _FarReader(io.reader, partial(self._far_side_broke, connection))
            io.reader = reader
        await super().handle_connection(connection)

    async def _far_side_broke(self, connection: Connection) -> None:
        """A connection to the other side was reset."""
        stack = self.facts.http.connections.get(connection) if self.facts.http is not None else None
        far = stack.context.layers[-1] if stack is not None else None
        io = self.transports.get(self.client)
        if isinstance(far, FarSide) and far.ends_with_connection and io is not None:
            assert isinstance(io.writer, asyncio.StreamWriter)
            await reset(io.writer)

    async def server_event(self, event: events.Event) -> None:
        await super().server_event(event)
        # Whatever the event: bytes wait for hooks before they get anywhere.
        self._look_at_buffer()
        if self._has_waiting_events():
            self._is_caught_up.clear()
        else:
            self._is_caught_up.set()

    async def drain_writers(self) -> None:
        """Wait until what was passed on has gone out. Nothing more is read from the program meanwhile.

        Nor while its call waits to be sent on, as mitmproxy would gather the body in memory until then.
        """
        await super().drain_writers()  # type: ignore[no-untyped-call]
        io = self.transports.get(self.client)
        if io is not None and asyncio.current_task() is io.handler:
            await self._is_caught_up.wait()

    def _has_waiting_events(self) -> bool:
        streams = self.facts.http.streams.values() if self.facts.http is not None else ()
        return any(len(stream._paused_event_queue) > MOST_WAITING_EVENTS for stream in streams)

    def _look_at_buffer(self) -> None:
        """mitmproxy reads heads of any size, and goes on reading while it waits for a reply."""
        waiting = self._waiting_bytes()
        if waiting > self._most_buffered:
            self.end()
        elif waiting == 0:
            self._began = None
        elif self._began is None:
            self._began = time.monotonic()

    def _waiting_bytes(self) -> int:
        """Bytes that came and belong to a head, or a request, that cannot be dealt with yet."""
        if self.facts.http is None or not self.client.tls_established:
            return 1
        reader: Any = self.facts.http.connections.get(self.client)
        buffer = getattr(reader, "buf", b"")
        is_in_body = getattr(reader, "request", None) is not None
        return 0 if is_in_body and len(buffer) <= self._most_buffered else len(buffer)

    def log(self, message: str, level: int = logging.INFO, exc_info: Any = None) -> None:
        """mitmproxy's talk. After a crash of a layer it would leave the program waiting for ever."""
        if level >= logging.ERROR and "crashed" in message:
            self.has_crashed = True
            self._loop.call_soon(self.end)
        super().log(message, level, exc_info)

    def forget_closed(self) -> None:
        """Let go of connections to the other side that have ended; mitmproxy keeps each to the end."""
        http = self.facts.http
        if http is not None and self.is_idle:
            for each in [each for each in http.connections if isinstance(each, Server)]:
                if not each.connected and each not in self.transports:
                    del http.connections[each]

    def is_late(self, now: float, limit_s: float) -> bool:
        """Whether the handshake, or the head of a request, should be complete by now."""
        return self._began is not None and now - self._began > limit_s

    def end(self) -> None:
        """Hang up at once."""
        io = self.transports.get(self.client)
        if io is not None and io.handler is not None:
            io.handler.cancel("ended by heli")

    @property
    def is_idle(self) -> bool:
        """Whether no call is under way."""
        return self.facts.http is None or not self.facts.http.streams

    def is_connected_to(self, address: tuple[str, int]) -> bool:
        """Whether a connection to this address is there for the next call."""
        if self.facts.http is None:
            return False
        return any(
            isinstance(connection, Server) and connection.address == address and connection.connected
            for connection in self.facts.http.connections
        )

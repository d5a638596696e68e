"""One connection of the stand-in, at the level of bytes: reading, writing, breaking, seeing the peer go."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import cast

HIGH_WATER = 1 << 20


class PeerGoneError(Exception):
    """The peer closed its side, or the connection broke."""


class Wire(asyncio.Protocol):
    """`serve(wire)` is run for each connection; it reads and writes through the methods below.

    A peer that sends FIN counts as gone once what it sent before is read: no client of a model
    closes one half and waits.
    """

    def __init__(self, serve: Callable[["Wire"], object]) -> None:
        self._serve = serve
        self._buffer = bytearray()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_paused = False
        self.gone_at: float | None = None
        """Seconds since 1970 when the peer was seen to go."""
        self.received_bytes = 0
        self.sent_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.peer = "{}:{}".format(*(transport.get_extra_info("peername") or ("?", 0))[:2])
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        self._serve(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.received_bytes += len(data)
        if len(self._buffer) > HIGH_WATER and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()
        self._changed.set()

    def eof_received(self) -> bool:
        self._mark_gone()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._mark_gone()

    def _mark_gone(self) -> None:
        if self.gone_at is None:
            self.gone_at = time.time()
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def _more(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()
        if self.gone_at is not None:
            raise PeerGoneError
        self._changed.clear()
        await self._changed.wait()

    async def read_until(self, end: bytes, limit: int = 1 << 20) -> bytes:
        """Bytes up to and including `end`; everything there is when `limit` comes first."""
        searched = 0
        while (at := self._buffer.find(end, max(0, searched - len(end)))) < 0:
            searched = len(self._buffer)
            if searched >= limit:
                return self._take(searched)
            await self._more()
        return self._take(at + len(end))

    async def read_some(self, limit: int) -> bytes:
        """At least one byte, at most `limit`."""
        while not self._buffer:
            await self._more()
        return self._take(min(limit, len(self._buffer)))

    async def read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    async def write(self, data: bytes) -> None:
        """Send all of it, waiting while the peer does not read; raises `PeerGoneError` once it left."""
        if self.gone_at is not None:
            raise PeerGoneError
        self.transport.write(data)
        self.sent_bytes += len(data)
        await self._writable.wait()
        if self.gone_at is not None:
            raise PeerGoneError

    async def pause(self, seconds: float) -> None:
        """Wait, unless the peer leaves first, which raises."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self.gone_at is not None:
                raise PeerGoneError
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    def finish(self) -> None:
        """Send what is written, then FIN."""
        self.transport.close()

    async def break_with(self, how: str) -> None:
        """End the connection in the middle: `fin` or `rst`, after what was written has left."""
        self.transport.set_write_buffer_limits(high=0)
        await self._writable.wait()
        if how == "rst":
            plain: socket.socket = self.transport.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()

"""A program's side of a WebSocket through the interceptor, frame by frame, and what crossed the wire."""

import asyncio
import hashlib
import struct
from dataclasses import dataclass
from typing import Any

from tests.standin.websocket import CLOSE, CONTINUATION

PATIENCE_S = 120.0
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class WireCount:
    """How many bytes went one way, and the digest of the first `limit` of them."""

    def __init__(self, limit: int) -> None:
        self.passed = 0
        self._limit = limit
        self._digest = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self._digest.update(data[: max(0, self._limit - self.passed)])
        self.passed += len(data)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, unmasked."""

    opcode: int
    payload: bytes
    is_final: bool = True


class Framed:
    """Sends and reads single frames. Masks are zero, which is a mask, and costs the client nothing."""

    def __init__(self, reader: Any, writer: Any, kept_bytes: int) -> None:
        self._reader = reader
        self._writer = writer
        self.sent = WireCount(kept_bytes)
        self.received = WireCount(kept_bytes)
        self.frames: list[tuple[int, bool, int, str]] = []
        """Opcode, whether it is the last of its message, length and digest of each frame sent."""

    async def upgrade(self, path: str, case: str) -> None:
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: api.openai.com",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {_KEY}",
            f"x-case: {case}",
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        assert b" 101 " in head, head

    async def send(self, *frames: Frame) -> None:
        for each in frames:
            head = bytes([(0x80 if each.is_final else 0) | each.opcode]) + _length(len(each.payload), 0x80)
            data = head + bytes(4) + each.payload
            self._writer.write(data)
            self.sent.add(data)
            digest = hashlib.sha256(each.payload).hexdigest()
            self.frames.append((each.opcode, each.is_final, len(each.payload), digest))
        await self._writer.drain()

    async def read(self) -> Frame:
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readexactly(2)
            size = head[1] & 0x7F
            if size > 125:
                more = await self._reader.readexactly(2 if size == 126 else 8)
                size, head = int.from_bytes(more, "big"), head + more
            payload = await self._reader.readexactly(size)
        self.received.add(head + payload)
        return Frame(head[0] & 0x0F, payload, bool(head[0] & 0x80))

    async def close(self, code: int, reason: str) -> None:
        """The closing handshake, to the end of the connection; the other side must say the same."""
        payload = struct.pack(">H", code) + reason.encode()
        await self.send(Frame(CLOSE, payload))
        assert await self.read() == Frame(CLOSE, payload)
        assert await asyncio.wait_for(self._reader.read(), PATIENCE_S) == b""


def in_two(opcode: int, payload: bytes, *between: Frame) -> list[Frame]:
    """A message in two fragments, with control frames between them."""
    half = len(payload) // 2
    return [Frame(opcode, payload[:half], is_final=False), *between, Frame(CONTINUATION, payload[half:])]


def _length(size: int, mask_bit: int) -> bytes:
    if size < 126:
        return bytes([mask_bit | size])
    if size < 1 << 16:
        return bytes([mask_bit | 126]) + struct.pack(">H", size)
    return bytes([mask_bit | 127]) + struct.pack(">Q", size)

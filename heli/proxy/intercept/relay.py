"""Passes bytes between two connections, both ways, unread."""

import asyncio
import time

from heli.proxy.intercept.breaking import end_by_reset
from heli.proxy.intercept.counters import HostTraffic
from heli.proxy.intercept.dialing import Streams

PIECE_BYTES = 64 * 1024


async def relay(program: Streams, far: Streams, traffic: HostTraffic) -> None:
    """Until both sides have ended, or one of them breaks off. A half-closed side stays open the other way."""
    started = time.monotonic()
    traffic.connections += 1
    traffic.open += 1
    up = asyncio.ensure_future(_pass(program[0], far[1], traffic, is_up=True))
    down = asyncio.ensure_future(_pass(far[0], program[1], traffic, is_up=False))
    try:
        done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_EXCEPTION)
        if any(task.exception() for task in done):  # a break must not look like an end on the other side
            end_by_reset(program[1])
            end_by_reset(far[1])
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
        traffic.open -= 1
        traffic.seconds += time.monotonic() - started


async def _pass(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, traffic: HostTraffic, *, is_up: bool
) -> None:
    while data := await reader.read(PIECE_BYTES):
        if is_up:
            traffic.bytes_up += len(data)
        else:
            traffic.bytes_down += len(data)
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:  # TLS to a proxy knows no half-closed connection
        writer.close()

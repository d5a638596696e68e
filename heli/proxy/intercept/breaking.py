"""Ends a program's connection so that nobody takes it for the end of a reply.

A reply without a length ends with its connection. When the other side breaks off, by a reset, the program
must see a reset too: an orderly end would make half a reply a whole one.
"""

import asyncio
import contextlib
import socket
import struct

_RESET = struct.pack("ii", 1, 0)
_PATIENCE_S = 2.0


def end_by_reset(writer: asyncio.StreamWriter) -> None:
    """Have the connection end by a reset when it is closed."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


async def reset(writer: asyncio.StreamWriter) -> None:
    """Send what is written, as far as the program reads it, then end the connection by a reset."""
    writer.transport.set_write_buffer_limits(0)  # so that `drain` waits for all of it
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.drain(), _PATIENCE_S)
    end_by_reset(writer)
    writer.transport.abort()

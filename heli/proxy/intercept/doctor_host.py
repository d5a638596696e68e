"""The host that heli answers for itself, so that `heli doctor` can try every step of a call but the provider.

A program reaches it as it reaches a provider: by CONNECT, over TLS with heli's leaf. Behind it is no gateway
but this little server, on a loopback port of its own.
"""

import asyncio
import contextlib
import json
import time

EVENTS = 5
EVERY_S = 0.05
LONGEST_HEAD = 64 * 1024
PATIENCE_S = 10.0


class DoctorHost:
    """`/stream` sends five events 50 ms apart; any other path tells what was asked, as JSON."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self.port = 0
        """0 while it does not listen."""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LONGEST_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                method, path = head.decode("latin-1").split(" ", 2)[:2]
                await (_stream(writer) if path.startswith("/stream") else _echo(writer, method, path))
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _echo(writer: asyncio.StreamWriter, method: str, path: str) -> None:
    body = json.dumps({"heli": "doctor", "method": method, "path": path}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    await writer.drain()


async def _stream(writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    for number in range(EVENTS):
        if number:
            await asyncio.sleep(EVERY_S)
        event = b"data: %b\n\n" % json.dumps({"number": number, "sent_ns": time.time_ns()}).encode()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()

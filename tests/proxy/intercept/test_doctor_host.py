"""The host that heli answers for itself: an echo and a stream, and no trouble for what is neither."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from heli.proxy.intercept.doctor_host import EVENTS, DoctorHost


def with_host(talk: Callable[[int], Awaitable[None]]) -> None:
    async def scenario() -> None:
        host = DoctorHost()
        await host.start()
        try:
            await talk(host.port)
        finally:
            host.close()

    asyncio.run(scenario())


async def ask(port: int, question: bytes) -> list[tuple[float, bytes]]:
    """The pieces of the reply, each with its time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(question)
    pieces = []
    while piece := await reader.read(65_536):
        pieces.append((asyncio.get_running_loop().time(), piece))
    writer.close()
    return pieces


def test_a_stream_comes_event_by_event() -> None:
    async def talk(port: int) -> None:
        pieces = await ask(port, b"GET /stream HTTP/1.1\r\nHost: doctor.heli.invalid\r\n\r\n")
        times = [at for at, piece in pieces if b"data: " in piece]
        assert len(times) == EVENTS
        assert times[-1] - times[0] >= 0.15
        assert pieces[-1][1].endswith(b"0\r\n\r\n")

    with_host(talk)


def test_anything_else_tells_what_was_asked() -> None:
    async def talk(port: int) -> None:
        reply = b"".join(piece for _, piece in await ask(port, b"POST /a?b HTTP/1.1\r\n\r\n"))
        head, _, body = reply.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert json.loads(body) == {"heli": "doctor", "method": "POST", "path": "/a?b"}

    with_host(talk)


def test_what_is_no_request_is_hung_up_on() -> None:
    async def talk(port: int) -> None:
        assert await ask(port, b"nonsense\r\n\r\n") == []
        assert await ask(port, b"x" * 100_000) == []

    with_host(talk)

"""A provider of streams whose events tell when they were sent. Prints its port, ends with stdin.

    python -m tests.rel.clocked_source

Each request is answered with `x-events` events, `x-every-ms` apart, of OpenAI's shape; the text of each is
its number and the nanoseconds of the monotonic clock, which all processes of a machine share.
"""

import asyncio
import json
import re
import sys
import time


def event(number: int) -> bytes:
    delta = {"content": f"{number} {time.monotonic_ns()}"}
    data = json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]})
    return f"data: {data}\n\n".encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await _answer(await reader.readuntil(b"\r\n\r\n"), reader, writer)
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(_number(head, b"content-length"))
    count, every_s = _number(head, b"x-events"), _number(head, b"x-every-ms") / 1000
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    started = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, started + number * every_s - time.monotonic()))
        data = event(number)
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()
    writer.write(b"0\r\n\r\n")


def _number(head: bytes, name: bytes) -> int:
    found = re.search(rb"(?i)\r\n" + name + rb": *(\d+)", head)
    return int(found[1]) if found else 0


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())

"""A tunnel passes an end on as an end, and a break as a break."""

import asyncio

import pytest

from heli.proxy.intercept.breaking import end_by_reset
from heli.proxy.intercept.counters import HostTraffic
from heli.proxy.intercept.relay import relay


async def read_through_a_tunnel(*, is_reset: bool) -> bytes:
    """What a program reads of a host that sends half a reply and then ends its connection, or resets it."""
    half_read = asyncio.Event()

    async def host(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half a reply")
        await half_read.wait()
        if is_reset:
            end_by_reset(writer)
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = await asyncio.open_connection(*address)
        await relay((reader, writer), far, HostTraffic())
        far[1].close()
        writer.close()

    async with await asyncio.start_server(host, "127.0.0.1", 0) as hosts:
        address = hosts.sockets[0].getsockname()
        async with await asyncio.start_server(tunnel, "127.0.0.1", 0) as tunnels:
            reader, writer = await asyncio.open_connection(*tunnels.sockets[0].getsockname())
            received = await reader.readexactly(len(b"half a reply"))
            half_read.set()
            try:
                rest = await reader.read()
                writer.write_eof()  # the program ends its side as well
                return received + rest
            finally:
                writer.close()


def test_an_end_is_passed_on_as_an_end() -> None:
    assert asyncio.run(read_through_a_tunnel(is_reset=False)) == b"half a reply"


def test_a_break_is_passed_on_as_a_break() -> None:
    with pytest.raises(ConnectionResetError):
        asyncio.run(read_through_a_tunnel(is_reset=True))

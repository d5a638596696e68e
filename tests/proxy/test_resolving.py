"""Look-ups of names, by the system's own resolver."""

import asyncio
import socket
from typing import Any

import pytest

from heli.proxy.resolving import Resolver


def test_names_and_addresses_are_found() -> None:
    async def find() -> list[set[Any]]:
        resolver = Resolver()
        hosts = ("localhost", "127.0.0.1", "::1")
        return [{entry[4][0] for entry in await resolver.find(host, 443)} for host in hosts]

    by_name, four, six = asyncio.run(find())

    assert by_name & {"127.0.0.1", "::1"}
    assert four == {"127.0.0.1"}
    assert six == {"::1"}


def test_who_asks_for_the_same_name_meanwhile_gets_the_same_answer() -> None:
    async def find() -> tuple[object, object]:
        resolver = Resolver()
        one, other = await asyncio.gather(resolver.find("localhost", 1), resolver.find("localhost", 1))
        return one, other

    one, other = asyncio.run(find())

    assert one is other


def test_one_who_gives_up_takes_nothing_from_the_others() -> None:
    async def find() -> object:
        resolver = Resolver()
        impatient = asyncio.ensure_future(resolver.find("localhost", 1))
        patient = asyncio.ensure_future(resolver.find("localhost", 1))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert asyncio.run(find())


def test_a_name_that_nobody_knows_is_an_error_each_time() -> None:
    async def find() -> None:
        resolver = Resolver()
        for _ in range(2):
            with pytest.raises(socket.gaierror):
                await resolver.find("nobody.invalid", 443)

    asyncio.run(find())

"""Look-ups of names, by the system's own resolver."""

import asyncio
import itertools
import socket
import threading
from typing import Any

import pytest

from heli.proxy import resolving
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


def test_a_name_is_asked_for_again_beside_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A packet that is lost must not hold up whoever asks for that name meanwhile."""
    ends, asked = threading.Event(), itertools.count()
    look_up = socket.getaddrinfo

    def first_hangs(*words: Any, **named: Any) -> Any:
        if next(asked) == 0:
            ends.wait(30)
            raise socket.gaierror("the one that was lost")
        return look_up(*words, **named)

    async def find() -> list[object]:
        resolver = Resolver()
        async with asyncio.timeout(20):
            found = await asyncio.gather(*(resolver.find("localhost", 1) for _ in range(3)))
            ends.set()
            return [*found, await resolver.find("localhost", 1)]

    monkeypatch.setattr(resolving, "AGAIN_AFTER_S", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", first_hangs)

    assert all(asyncio.run(find()))


def test_a_name_that_hangs_is_not_asked_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ends, enough, asked = threading.Event(), threading.Event(), []

    def hangs(*words: Any, **_: Any) -> Any:
        asked.append(words)
        if len(asked) == resolving.MOST_OF_A_NAME:
            enough.set()
        ends.wait(30)
        raise socket.gaierror("nobody answers")

    async def find() -> None:
        resolver = Resolver()
        waiting = [asyncio.ensure_future(resolver.find("localhost", 1)) for _ in range(5)]
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(enough.wait, 10)
            await asyncio.wait(waiting, timeout=0.3)
            ends.set()
            assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {
                socket.gaierror
            }

    monkeypatch.setattr(resolving, "AGAIN_AFTER_S", 0.02)
    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    asyncio.run(find())

    assert len(asked) == resolving.MOST_OF_A_NAME


def test_names_are_found_where_the_system_gives_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "resolver":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert asyncio.run(Resolver().find("localhost", 1))


def test_a_name_that_nobody_knows_is_an_error_each_time() -> None:
    async def find() -> None:
        resolver = Resolver()
        for _ in range(2):
            with pytest.raises(socket.gaierror):
                await resolver.find("nobody.invalid", 443)

    asyncio.run(find())

"""Readiness prepares a store, notices its end, and prepares it again when it is back."""

import asyncio
import threading

from heli.backend.readiness import Readiness
from heli.schema.errors import UnreachableError


class Store:
    """Counts what is asked of it; answers while `is_up`."""

    def __init__(self) -> None:
        self.is_up = True
        self.prepared = self.checked = 0

    def prepare(self) -> None:
        self.prepared += 1
        self._answer()

    def check(self) -> None:
        self.checked += 1
        self._answer()

    def _answer(self) -> None:
        if not self.is_up:
            raise UnreachableError("connection refused")


def test_a_store_that_comes_back_is_prepared_again() -> None:
    store = Store()
    readiness = Readiness("log", store.prepare, store.check)

    async def scenario() -> list[bool]:
        seen = [readiness.is_ready]
        for store.is_up in (False, True, True, False, True):
            await readiness.look()
            seen.append(readiness.is_ready)
        return seen

    assert asyncio.run(scenario()) == [False, False, True, True, False, True]
    assert (store.prepared, store.checked) == (3, 2)


def test_a_store_that_hangs_is_trouble_and_is_asked_once() -> None:
    let_go = threading.Event()
    asked = []

    def hang() -> None:
        asked.append(1)
        let_go.wait(30)

    readiness = Readiness("log", hang, hang)

    async def scenario() -> None:
        await asyncio.gather(readiness.look(0.05), readiness.look(0.05))
        assert readiness.trouble is not None
        assert "did not answer" in readiness.trouble.message
        let_go.set()
        await readiness.look(30)

    asyncio.run(scenario())
    assert asked == [1]
    assert readiness.is_ready

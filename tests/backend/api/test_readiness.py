"""Readiness prepares a store, notices its end, and prepares it again when it is back."""

import asyncio
import threading

import pytest

from heli.backend import readiness as readiness_module
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


def test_a_store_that_hangs_is_trouble_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness_module, "SILENCE_S", 0.05)
    let_go = threading.Event()
    asked = []

    def hang() -> None:
        asked.append(1)
        let_go.wait(30)

    readiness = Readiness("log", hang, hang)

    async def scenario() -> None:
        await asyncio.gather(readiness.look(0.06), readiness.look(0.06))
        assert readiness.trouble is not None
        assert "did not answer" in readiness.trouble.message
        let_go.set()
        await readiness.look(30)

    asyncio.run(scenario())
    assert asked == [1]
    assert readiness.is_ready


def test_who_is_impatient_finds_what_was_known(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "heli.backend")
    let_go = threading.Event()
    store = Store()

    def check_slowly() -> None:
        let_go.wait(30)
        store.check()

    readiness = Readiness("log", store.prepare, check_slowly)

    async def scenario() -> None:
        await readiness.look()
        await asyncio.gather(*(readiness.look(0.01) for _ in range(20)))
        assert readiness.is_ready
        let_go.set()
        await asyncio.gather(*(readiness.look() for _ in range(20)))
        assert readiness.is_ready

    asyncio.run(scenario())
    assert (store.prepared, store.checked) == (1, 1)
    assert caplog.messages == ["the log is ready"]


def test_a_bug_in_asking_does_not_end_the_watch() -> None:
    answers = iter([ValueError("odd"), None])

    def prepare() -> None:
        if error := next(answers):
            raise error

    readiness = Readiness("log", prepare, prepare)

    async def scenario() -> None:
        await readiness.look()
        assert readiness.trouble is not None
        assert "odd" in readiness.trouble.message
        await readiness.look()

    asyncio.run(scenario())
    assert readiness.is_ready

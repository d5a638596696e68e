"""Names to addresses, in threads of its own: a name that nobody answers for holds up no other.

uvloop gives all look-ups together two threads, and asyncio those of all that blocks. One that hangs takes ten
seconds and more, and cannot be called off. So a name that is waited for is soon asked for again beside it: it
may be one packet that was lost.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from functools import partial
from typing import Any

MOST_AT_ONCE = 256
"""Look-ups at a time; more wait."""
MOST_OF_A_NAME = 3
AGAIN_AFTER_S = 1.0

type Found = list[tuple[Any, ...]]
"""As `socket.getaddrinfo` tells it."""
type Key = tuple[str, int]


class _Question:
    """A name that somebody waits for: the first answer counts, a failure when nobody is asked any more."""

    def __init__(self, key: Key, loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.loop = loop
        self.answer: asyncio.Future[Found] = loop.create_future()
        self.asked = 0
        self.asked_at = 0.0
        self.open = 0

    @property
    def is_late(self) -> bool:
        is_old = self.loop.time() - self.asked_at >= AGAIN_AFTER_S
        return is_old and self.open > 0 and self.asked < MOST_OF_A_NAME

    def take(self, asking: "asyncio.Task[Found]") -> None:
        """One of those asked has answered."""
        self.open -= 1
        if asking.cancelled():
            return
        error = asking.exception()
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(asking.result())
        elif not self.open:
            self.answer.set_exception(error)


class Resolver:
    """Looks names up; who asks for one that is looked up already waits for the same answer."""

    def __init__(self) -> None:
        self._under_way: dict[Key, _Question] = {}
        self._room = asyncio.Semaphore(MOST_AT_ONCE)

    async def find(self, host: str, port: int) -> Found:
        """The addresses of a host. Raises `OSError` for a name that nobody knows."""
        if _is_address(host):
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        key = host, port
        question = self._under_way.get(key)
        if question is None:
            question = self._under_way[key] = _Question(key, asyncio.get_running_loop())
            question.answer.add_done_callback(partial(self._forget, key))
            self._ask(question)
        while not question.answer.done():
            if question.is_late:
                self._ask(question)
            await asyncio.wait({question.answer}, timeout=AGAIN_AFTER_S)
        return question.answer.result()

    def _ask(self, question: _Question) -> None:
        question.asked += 1
        question.open += 1
        question.asked_at = question.loop.time()
        asyncio.ensure_future(self._look_up(*question.key)).add_done_callback(question.take)

    def _forget(self, key: Key, answer: "asyncio.Future[Found]") -> None:
        del self._under_way[key]
        if not answer.cancelled():
            answer.exception()  # nobody may be there any more to hear of it

    async def _look_up(self, host: str, port: int) -> Found:
        async with self._room:
            loop = asyncio.get_running_loop()
            told: asyncio.Future[Found] = loop.create_future()
            # Not of a pool, whose threads would be waited for at the end of the process.
            thread = threading.Thread(
                target=_ask, args=(host, port, loop, told), name="resolver", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the system gives this process no more: the loop has some
                return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return await told


def _ask(host: str, port: int, loop: asyncio.AbstractEventLoop, told: "asyncio.Future[Found]") -> None:
    found: Found | Exception
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        found = error
    except Exception as error:  # noqa: BLE001 - somebody waits for an answer
        found = OSError(f"{host} cannot be looked up: {error}")
    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(_tell, told, found)


def _tell(told: "asyncio.Future[Found]", found: Found | Exception) -> None:
    if told.done():
        return
    if isinstance(found, Exception):
        told.set_exception(found)
    else:
        told.set_result(found)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

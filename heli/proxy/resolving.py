"""Names to addresses, in threads of its own: a name that nobody answers for holds up no other.

uvloop gives all look-ups together two threads, and asyncio those of all that blocks. One that hangs takes ten
seconds and more, and cannot be called off.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from typing import Any

MOST_AT_ONCE = 256
"""Different names that are looked up at a time; more wait."""

type Found = list[tuple[Any, ...]]
"""As `socket.getaddrinfo` tells it."""


class Resolver:
    """Looks names up, each once at a time, whoever else asks for it meanwhile."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, int], asyncio.Task[Found]] = {}
        self._room = asyncio.Semaphore(MOST_AT_ONCE)

    async def find(self, host: str, port: int) -> Found:
        """The addresses of a host. Raises `OSError` for a name that nobody knows."""
        if _is_address(host):
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        key = host, port
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(self._look_up(host, port))
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: tuple[str, int], done: "asyncio.Task[Found]") -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # nobody may be there any more to hear of it

    async def _look_up(self, host: str, port: int) -> Found:
        async with self._room:
            loop = asyncio.get_running_loop()
            told: asyncio.Future[Found] = loop.create_future()
            # Not of a pool, whose threads would be waited for at the end of the process.
            threading.Thread(target=_ask, args=(host, port, loop, told), name="resolver", daemon=True).start()
            return await told


def _ask(host: str, port: int, loop: asyncio.AbstractEventLoop, told: "asyncio.Future[Found]") -> None:
    found: Found | Exception
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, OverflowError) as error:
        found = error
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

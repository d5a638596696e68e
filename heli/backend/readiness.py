"""Whether a store answers: tries until it does, brings it up to date, and notices when it is gone."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from heli.schema.errors import HeliError, UnreachableError

logger = logging.getLogger("heli.backend")

RETRY_S = 0.25
CHECK_S = 2.0
SILENCE_S = 10.0
"""A store that does not answer for this long is gone. Less would blame it for a busy moment of this one."""


class Readiness:
    """`prepare` brings a store up to date and may be repeated; `check` asks if it answers.

    Both block, run in a thread of their own and raise a `HeliError` when the answer is no. One of them
    runs at a time, however many ask.
    """

    def __init__(self, name: str, prepare: Callable[[], None], check: Callable[[], None]) -> None:
        self.name = name
        self._prepare = prepare
        self._check = check
        self._thread = ThreadPoolExecutor(1, name)
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self.trouble: HeliError | None = UnreachableError(f"the {name} was not reached yet", "wait a moment")
        """Why the store cannot be used now; `None` when it can."""
        self._became_ready = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        return self.trouble is None

    async def until_ready(self) -> None:
        """Wait until it answers for the first time."""
        await self._became_ready.wait()

    def require(self) -> None:
        """Raises `UnreachableError` while the store cannot be used."""
        if self.trouble is not None:
            raise UnreachableError(self.trouble.message, self.trouble.hint) from self.trouble

    async def look(self, patience_s: float = SILENCE_S) -> None:
        """Ask once, or wait for the answer to who asked before.

        Who has less patience than the store has time to answer finds what was known before.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
            self._looked_at = time.monotonic()
        looking = self._looking
        await asyncio.wait((looking,), timeout=patience_s)
        if not looking.done() and time.monotonic() - self._looked_at >= SILENCE_S:
            self._note(UnreachableError(f"the {self.name} did not answer within {SILENCE_S:g} s"))

    async def _look(self) -> None:
        """After trouble, prepare the store first: it may have come back empty."""
        step = self._check if self.is_ready else self._prepare
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, step)
        except HeliError as error:
            self._note(error)
        except Exception as error:
            # Whatever it is, it must not end the watch over the store.
            logger.exception("asking the %s failed", self.name)
            self._note(UnreachableError(f"asking the {self.name} failed: {error!r}"))
        else:
            self._note(None)

    def _note(self, trouble: HeliError | None) -> None:
        """Remember, and log when it is news."""
        if trouble is None and self.trouble is not None:
            logger.info("the %s is ready", self.name)
        elif trouble is not None and (self.trouble is None or trouble.message != self.trouble.message):
            logger.warning("the %s is not ready: %s", self.name, trouble.message)
        self.trouble = trouble
        if trouble is None:
            self._became_ready.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(CHECK_S if self.is_ready else RETRY_S)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

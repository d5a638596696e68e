"""Whether a store answers: tries until it does, brings it up to date, and notices when it is gone."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from heli.schema.errors import HeliError, UnreachableError

logger = logging.getLogger("heli.backend")

RETRY_S = 0.25
CHECK_S = 2.0
PATIENCE_S = 5.0


class Readiness:
    """`prepare` brings a store up to date and may be repeated; `check` asks if it answers.

    Both block, run in a thread and raise a `HeliError` when the answer is no.
    """

    def __init__(self, name: str, prepare: Callable[[], None], check: Callable[[], None]) -> None:
        self.name = name
        self._prepare = prepare
        self._check = check
        self._looking: asyncio.Task[None] | None = None
        self.trouble: HeliError | None = UnreachableError(f"the {name} was not reached yet", "wait a moment")
        """Why the store cannot be used now; `None` when it can."""

    @property
    def is_ready(self) -> bool:
        return self.trouble is None

    def require(self) -> None:
        """Raises `UnreachableError` while the store cannot be used."""
        if self.trouble is not None:
            raise UnreachableError(self.trouble.message, self.trouble.hint) from self.trouble

    async def look(self, patience_s: float = PATIENCE_S) -> None:
        """Ask once, or wait for the answer to who asked before; no answer in time is trouble as well."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait_for(asyncio.shield(self._looking), patience_s)
        except TimeoutError:
            self._note(UnreachableError(f"the {self.name} did not answer within {patience_s:g} s"))

    async def _look(self) -> None:
        """After trouble, prepare the store first: it may have come back empty."""
        try:
            await asyncio.to_thread(self._check if self.is_ready else self._prepare)
        except HeliError as error:
            self._note(error)
        else:
            self._note(None)

    def _note(self, trouble: HeliError | None) -> None:
        """Remember, and log when it is news."""
        if trouble is None and self.trouble is not None:
            logger.info("the %s is ready", self.name)
        elif trouble is not None and (self.trouble is None or trouble.message != self.trouble.message):
            logger.warning("the %s is not ready: %s", self.name, trouble.message)
        self.trouble = trouble

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

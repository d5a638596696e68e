"""Whether the stores answer: tries until they do, brings them up to date, and notices when they are gone."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from heli.schema.errors import HeliError, UnreachableError

logger = logging.getLogger("heli.backend")

RETRY_S = 0.25
CHECK_S = 2.0


class Readiness:
    """`prepare` brings the stores up to date and may be repeated; `check` asks if they answer.

    Both block, run in a thread and raise a `HeliError` when the answer is no.
    """

    def __init__(self, prepare: Callable[[], None], check: Callable[[], None]) -> None:
        self._prepare = prepare
        self._check = check
        self.trouble: HeliError | None = UnreachableError("the stores were not reached yet", "wait a moment")
        """Why the stores cannot be used now; `None` when they can."""

    @property
    def is_ready(self) -> bool:
        return self.trouble is None

    def require(self) -> None:
        """Raises `UnreachableError` while the stores were not prepared yet."""
        if self.trouble is not None:
            raise UnreachableError(self.trouble.message, self.trouble.hint) from self.trouble

    async def look(self) -> None:
        """Ask once; after trouble, prepare the stores first: they may have come back empty."""
        was_ready = self.is_ready
        try:
            await asyncio.to_thread(self._check if was_ready else self._prepare)
        except HeliError as error:
            if was_ready or self.trouble is None or error.message != self.trouble.message:
                logger.warning("not ready: %s", error.message)
            self.trouble = error
        else:
            self.trouble = None
            if not was_ready:
                logger.info("ready: the stores answer")

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

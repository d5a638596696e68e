"""The stores that the settings name, connected to nothing yet, and the watch over them."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Self

from heli.backend.readiness import Readiness
from heli.backend.stores.accounts import Accounts, watch_accounts
from heli.backend.stores.request_log import RequestLog, open_request_log
from heli.schema.settings import Loaded


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchedStores:
    """What the backend needs to be of use. Loading this is quick, which the rest of the backend is not."""

    log: RequestLog
    database: Accounts
    log_readiness: Readiness
    """Without the request log nothing goes in or out."""
    accounts_readiness: Readiness

    @classmethod
    def open(cls, loaded: Loaded) -> Self:
        log, database = open_request_log(loaded), watch_accounts(loaded)
        return cls(
            log=log,
            database=database,
            log_readiness=Readiness("request log", log.migrate, log.ping),
            accounts_readiness=Readiness("accounts database", database.migrate, database.ping),
        )

    async def until_ready(self) -> None:
        """Wait until all of them have answered."""
        await asyncio.gather(self.log_readiness.until_ready(), self.accounts_readiness.until_ready())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.log_readiness.running(), self.accounts_readiness.running():
            yield

    def close(self) -> None:
        self.log.close()
        self.database.close()

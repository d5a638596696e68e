"""What the routes work with, put together in `heli.backend.app` and found again here."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from heli.backend.api.metrics import Metrics
from heli.backend.ingest.door import IngestDoor
from heli.backend.live import LiveHub
from heli.backend.queries.scope import Scope, scope_of
from heli.backend.readiness import Readiness
from heli.backend.session_spend import SessionSpend
from heli.backend.stores.bodies import BodyStore
from heli.backend.stores.request_log import RequestLog
from heli.providers.pricing.price_override import PriceOverrides
from heli.schema.filter import Node
from heli.schema.request import LOCAL_ORGANISATION


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """One backend."""

    log: RequestLog
    bodies: BodyStore
    hub: LiveHub
    door: IngestDoor
    readiness: Readiness
    """Of the request log, without which nothing goes in or out."""
    accounts: Readiness
    metrics: Metrics
    sessions: SessionSpend
    own_prices: Callable[[], PriceOverrides] = PriceOverrides
    """The operator's price file as it is now."""
    repricing: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    """Held while the log is priced again."""
    organisation: UUID = LOCAL_ORGANISATION

    @property
    def is_ready(self) -> bool:
        return self.readiness.is_ready and self.accounts.is_ready

    def scope(self, node: Node = "all") -> Scope:
        """The caller's rows that the filter lets through."""
        return scope_of(self.organisation, node)


def find_parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Here = Annotated[Parts, Depends(find_parts)]

"""What one listener of the live feed asked for: which calls it is told of, and in which words."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec

from heli.backend.api.parts import Parts
from heli.backend.live_filter import Known, may_match
from heli.backend.queries.request_list import which_match
from heli.schema.filter import Node
from heli.schema.live import LiveCall, LiveEvent, LiveKind
from heli.schema.request import Request

MAX_TOLD = 10_000


def everything(event: LiveEvent, known: Known) -> LiveEvent | None:
    return event


class Selection:
    """One listener's filter, and the calls in flight that it was told of."""

    def __init__(self, here: Parts, node: Node) -> None:
        """Raises `UsageError` for a filter that is not understood."""
        self._log = here.log
        self._node = node
        self._scope = here.scope(node)
        self._told: dict[UUID, LiveCall] = {}

    def choose(self, event: LiveEvent, known: Known) -> LiveEvent | None:
        """A call is told of from when it may match until it certainly does not."""
        call = event.call
        if call is None:
            return event
        was_told = call.id in self._told
        if event.kind is LiveKind.LEFT or not may_match(self._node, known):
            self._told.pop(call.id, None)
            return msgspec.structs.replace(event, kind=LiveKind.LEFT) if was_told else None
        self._remember(call)
        return msgspec.structs.replace(event, kind=LiveKind.STREAMING if was_told else LiveKind.STARTED)

    async def settle(self, events: Sequence[LiveEvent]) -> list[LiveEvent]:
        """The log decides about calls that ended, so that a filter means here what it means everywhere."""
        requests = [event.request for event in events if event.request is not None]
        if not requests:
            return list(events)
        matching = await asyncio.to_thread(which_match, self._log, self._scope, requests)
        settled = (self._settle(event, event.request, matching) for event in events)
        return [event for event in settled if event is not None]

    def _settle(self, event: LiveEvent, request: Request | None, matching: set[UUID]) -> LiveEvent | None:
        if request is None:
            return event
        call = self._told.pop(request.id, None)
        if request.id in matching:
            return event
        return None if call is None else LiveEvent(kind=LiveKind.LEFT, call=call)

    def _remember(self, call: LiveCall) -> None:
        self._told[call.id] = call
        if len(self._told) > MAX_TOLD:
            del self._told[next(iter(self._told))]

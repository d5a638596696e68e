"""The way in for gateways: who may bring exchanges, how many at once, and what happens to them."""

import asyncio
import hmac
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from heli.backend.ingest.decoding import decode_batch, decode_live
from heli.backend.ingest.pipeline import IngestAnswer, Ingested, Pipeline
from heli.backend.live import LiveHub
from heli.schema.errors import DeniedError, UnreachableError

MAX_WAITING = 8
"""Batches in memory at once; the shippers keep the others on disk and come again."""

type Observe = Callable[[int, float, IngestAnswer], None]
"""Told of each batch: bytes as sent, seconds, answer."""


class IngestDoor:
    """Takes batches one at a time in a thread of its own, so that the event loop stays free."""

    def __init__(
        self, pipeline: Pipeline, hub: LiveHub, token: str, max_bytes: int, observe: Observe
    ) -> None:
        self._pipeline = pipeline
        self._hub = hub
        self._token = token.encode()
        self.max_bytes = max_bytes
        """The largest batch, unpacked as well as packed."""
        self._observe = observe
        self._thread = ThreadPoolExecutor(1, "ingest")
        self._waiting = 0

    def admit(self, authorization: str) -> None:
        """Raises `DeniedError` unless the header holds the ingest token."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
            raise DeniedError(
                "the ingest token is wrong or missing",
                "gateway and backend must share backend.ingest_token, or the state folder",
            )

    async def take(self, body: bytes, *, are_open: bool = False) -> IngestAnswer:
        """Store a batch, durably; of exchanges that go on, what has ended.

        Raises `UsageError` when it does not parse, else `UnreachableError`.
        """
        if self._waiting >= MAX_WAITING:
            raise UnreachableError(f"{MAX_WAITING} batches are waiting already", "send it again in a moment")
        self._waiting += 1
        began = time.perf_counter()
        try:
            ingested = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._work, body, are_open
            )
        finally:
            self._waiting -= 1
        self._hub.finish(ingested.requests)
        self._observe(len(body), time.perf_counter() - began, ingested.answer)
        return ingested.answer

    async def between_batches[T](self, work: Callable[[], T]) -> T:
        """Run something in the ingest thread: what it finds in the log is just what the hub was told."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def do_between_batches(self, work: Callable[[], None]) -> None:
        """The same for threads that wait until it is done."""
        self._thread.submit(work).result()

    def take_live(self, body: bytes) -> None:
        """Records of calls in flight, for the live feed only."""
        self._hub.consume(decode_live(body, self.max_bytes))

    def close(self) -> None:
        """Finish the batch at hand."""
        self._thread.shutdown(wait=True)

    def _work(self, body: bytes, are_open: bool) -> Ingested:
        return self._pipeline.take(decode_batch(body, self.max_bytes), are_open=are_open)

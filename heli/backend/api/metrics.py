"""Figures for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from heli.backend.ingest.pipeline import IngestAnswer

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The registry of one backend, and what is counted in it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._exchanges = Counter(
            "heli_ingest_exchanges",
            "Exchanges that gateways brought, by what became of them",
            ["result"],
            registry=self.registry,
        )
        self._bytes = Counter("heli_ingest_bytes", "Bytes of batches, as sent", registry=self.registry)
        self._batch_seconds = Histogram(
            "heli_ingest_batch_seconds", "Time to store a batch", buckets=SECONDS, registry=self.registry
        )
        self._calls = Histogram(
            "heli_api_seconds",
            "Time to answer an API call",
            ["method", "route", "status"],
            buckets=SECONDS,
            registry=self.registry,
        )
        for result in ("stored", "duplicate", "rejected"):
            self._exchanges.labels(result)

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, meaning, registry=self.registry).set_function(read)

    def count_batch(self, size: int, seconds: float, answer: IngestAnswer) -> None:
        self._exchanges.labels("stored").inc(answer.stored)
        self._exchanges.labels("duplicate").inc(answer.duplicates)
        self._exchanges.labels("rejected").inc(len(answer.rejected))
        self._bytes.inc(size)
        self._batch_seconds.observe(seconds)

    def count_call(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the path's pattern, so that ids make no series of their own."""
        self._calls.labels(method, route, str(status)).observe(seconds)

    def write(self) -> bytes:
        return generate_latest(self.registry)

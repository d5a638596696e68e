"""How Prometheus is told what a worker counts."""

from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from heli.proxy.gateway.counters import Counters
from heli.schema.exchange import Outcome


class Gauge(msgspec.Struct, frozen=True):
    """A number that is read off at the moment it is asked for."""

    name: str
    text: str
    value: float


class WorkerCollector:
    """Gives one worker's numbers to Prometheus when it asks."""

    def __init__(self, counters: Counters, worker: str, gauges: list[Gauge]) -> None:
        self._counters = counters
        self._worker = worker
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        counters = self._counters
        calls = CounterMetricFamily(
            "heli_gateway_calls", "Calls that ended, by how.", labels=["worker", "outcome"]
        )
        for outcome in Outcome:
            ended = counters.calls_complete if outcome is Outcome.COMPLETE else counters.calls[outcome]
            calls.add_metric([self._worker, outcome.value], ended)
        yield calls
        for name, text, value in (
            ("calls_unrecorded", "Calls that heli failed to record.", counters.calls_unrecorded),
            ("own_faults", "Failures of heli's own that no caller noticed.", counters.own_faults),
            ("heads_refused", "Requests that were not HTTP or over a limit.", counters.heads_refused),
            ("connections_refused", "Callers' connections over the limit.", counters.connections_refused),
            ("upstream_connections_opened", "Connections made to providers.", counters.connections_opened),
            (
                "upstream_connections_reused",
                "Calls on a connection used before.",
                counters.connections_reused,
            ),
            ("calls_repeated", "Calls sent again on a fresh connection.", counters.calls_repeated),
            ("targets_refused", "Calls to a target that is not allowed.", counters.targets_refused),
        ):
            family = CounterMetricFamily(f"heli_gateway_{name}", text, labels=["worker"])
            family.add_metric([self._worker], value)
            yield family
        for asked in self._gauges:
            gauge = GaugeMetricFamily(f"heli_{asked.name}", asked.text, labels=["worker"])
            gauge.add_metric([self._worker], asked.value)
            yield gauge


def render(counters: Counters, worker: str, gauges: list[Gauge]) -> bytes:
    """The worker's metrics as Prometheus' text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(WorkerCollector(counters, worker, gauges))
    return generate_latest(registry)

"""What the interceptor counts, and how it is told: for machines in numbers, for the owner with hosts."""

import time
from collections import OrderedDict

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest

MOST_HOSTS = 500
"""Hosts that are counted apart; the one not seen for longest is forgotten for a new one."""
MOST_REFUSALS = 1000
REFUSAL_S = 600.0
"""So long a host is tunnelled for the program that refused heli's certificate for it."""
CLOSED_TIMES = 3
"""So often a program must hang up in the middle of a handshake before that counts as a refusal."""

TOO_OLD = "the certificate authority was made before it was one to decrypt"
"""Why a host is left alone until there is another authority."""


class HostTraffic(msgspec.Struct):
    """What passed through to one host, unread."""

    connections: int = 0
    open: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0
    """Of the connections that ended."""
    reason: str = ""
    """Why it was not decrypted though it is on the list; empty for hosts that are not."""


class Refusal(msgspec.Struct):
    """A program that does not accept heli's certificate for a host."""

    host: str
    run: str
    """The id of its run; empty when it has none."""
    reason: str
    until: float
    """By the monotonic clock."""
    times: int = 1


class Counters:
    """The numbers of one interceptor since it started."""

    def __init__(self) -> None:
        self.handed_over = 0
        """Calls given to the gateway."""
        self.sent_directly = 0
        """Calls sent to the provider without the gateway, and so without a record."""
        self.plain_requests = 0
        """Requests for `http://` URLs passed on."""
        self.calls_failed = 0
        self.handshakes_failed = 0
        self.heads_refused = 0
        self.targets_refused = 0
        self.connections_refused = 0
        self.own_faults = 0
        self.hosts: OrderedDict[str, HostTraffic] = OrderedDict()
        self._refusals: OrderedDict[tuple[str, str], Refusal] = OrderedDict()
        self._forgotten = HostTraffic()

    def traffic(self, host: str) -> HostTraffic:
        found = self.hosts.get(host)
        if found is None:
            if len(self.hosts) >= MOST_HOSTS:
                _, oldest = self.hosts.popitem(last=False)
                _add(self._forgotten, oldest)
            found = self.hosts[host] = HostTraffic()
        self.hosts.move_to_end(host)
        return found

    def refused(self, host: str, run: str, reason: str, *, is_alert: bool) -> None:
        """A handshake broke off. An alert says why; who merely hangs up must do it several times."""
        self.handshakes_failed += 1
        known = self._refusals.get((run, host))
        times = known.times + 1 if known else 1
        self._refusals[run, host] = Refusal(
            host, run, reason, time.monotonic() + REFUSAL_S, CLOSED_TIMES if is_alert else times
        )
        self._refusals.move_to_end((run, host))
        if len(self._refusals) > MOST_REFUSALS:
            self._refusals.popitem(last=False)

    def accepted(self, host: str, run: str) -> None:
        self._refusals.pop((run, host), None)
        known = self.hosts.get(host)
        if known is not None and known.reason == TOO_OLD:
            known.reason = ""

    def does_refuse(self, host: str, run: str) -> bool:
        known = self._refusals.get((run, host))
        return known is not None and known.times >= CLOSED_TIMES and known.until > time.monotonic()

    @property
    def refusals(self) -> list[Refusal]:
        now = time.monotonic()
        return [each for each in self._refusals.values() if each.times >= CLOSED_TIMES and each.until > now]

    @property
    def tunnelled(self) -> HostTraffic:
        """All that was tunnelled, to whatever host."""
        total = HostTraffic()
        for traffic in (self._forgotten, *self.hosts.values()):
            _add(total, traffic)
        return total


def _add(into: HostTraffic, more: HostTraffic) -> None:
    into.connections += more.connections
    into.open += more.open
    into.bytes_up += more.bytes_up
    into.bytes_down += more.bytes_down
    into.seconds += more.seconds


def render(counters: Counters, more_faults: int, gateway_is_up: bool, connections: int) -> bytes:
    """The metrics as Prometheus' text; no hosts, which are the user's business.

    `more_faults` are failures of heli's own that were counted elsewhere.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(counters, more_faults, gateway_is_up, connections))
    return generate_latest(registry)


class _Collector:
    def __init__(self, counters: Counters, more_faults: int, gateway_is_up: bool, connections: int) -> None:
        self._counters = counters
        self._own_faults = counters.own_faults + more_faults
        self._gauges = (
            ("gateway_up", "Whether the gateway answers.", float(gateway_is_up)),
            ("connections", "Programs' connections now.", float(connections)),
            ("refusing_hosts", "Hosts tunnelled as heli's certificate is refused.", len(counters.refusals)),
        )

    def collect(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        counters, tunnelled = self._counters, self._counters.tunnelled
        found: list[CounterMetricFamily | GaugeMetricFamily] = []
        for name, text, value in (
            ("handed_over", "Calls given to the gateway.", counters.handed_over),
            ("sent_directly", "Calls sent on without the gateway, unrecorded.", counters.sent_directly),
            ("plain_requests", "Requests for http:// URLs passed on.", counters.plain_requests),
            ("calls_failed", "Calls that broke off.", counters.calls_failed),
            ("handshakes_failed", "TLS handshakes that programs broke off.", counters.handshakes_failed),
            ("heads_refused", "Requests that were not HTTP or over a limit.", counters.heads_refused),
            ("targets_refused", "Requests for a target that is not allowed.", counters.targets_refused),
            ("connections_refused", "Connections over the limit.", counters.connections_refused),
            ("own_faults", "Failures of heli's own that no caller noticed.", self._own_faults),
            ("tunnels", "Connections passed through unread.", tunnelled.connections),
            ("tunnelled_bytes", "Bytes passed through unread.", tunnelled.bytes_up + tunnelled.bytes_down),
        ):
            family = CounterMetricFamily(f"heli_intercept_{name}", text)
            family.add_metric([], value)
            found.append(family)
        for name, text, number in self._gauges:
            gauge = GaugeMetricFamily(f"heli_intercept_{name}", text)
            gauge.add_metric([], number)
            found.append(gauge)
        return found

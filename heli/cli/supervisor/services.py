"""What `heli up` runs: the processes, their ports, and how each says that it is ready."""

import sys

import msgspec

from heli.schema.settings import Settings


class Probe(msgspec.Struct, frozen=True):
    """A health endpoint; any 2xx means ready."""

    host: str
    port: int
    path: str


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One process to supervise."""

    name: str
    command: list[str]
    ports: dict[str, int]
    """`{setting below ports: port}`."""
    probes: list[Probe]
    drain_s: float
    """How long it may take to end after SIGTERM."""


NAMES = ("gateway", "intercept", "backend", "store")
"""In the order in which they are shown, and drained but for those below: whoever feeds another goes first."""
DRAINED_FIRST = frozenset({"intercept"})
"""It feeds the gateway, which is shown before it since more people look for it."""


def services_of(settings: Settings) -> list[Service]:
    """The processes that these settings ask for; no store where a ClickHouse server is named."""
    names = [name for name in NAMES if name != "store" or not settings.store.url]
    return [_service(name, settings) for name in names]


def ports_of(name: str, settings: Settings) -> dict[str, int]:
    ports = settings.ports
    if name == "gateway":
        names = ("openai", "anthropic", "gateway", "log_api")
        return {name: getattr(ports, name) for name in names}
    return {name: getattr(ports, name)}


def probes_of(name: str, ports: dict[str, int], host: str) -> list[Probe]:
    """Where this process answers when it is ready."""
    path = {"backend": "/readyz", "store": "/ping"}.get(name, "/healthcheck")
    host = "127.0.0.1" if name == "store" else host
    return [Probe(host, port, path) for port in ports.values()]


def _service(name: str, settings: Settings) -> Service:
    drain_s = settings.gateway.drain_timeout_s + 5 if name in ("gateway", "intercept") else 15.0
    return Service(
        name=name,
        command=[sys.executable, "-P", "-m", "heli", "serve", name],
        ports=ports_of(name, settings),
        probes=probes_of(name, ports_of(name, settings), settings.host),
        drain_s=drain_s,
    )

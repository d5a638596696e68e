"""What gateways tell the backend of their spools every other second, to be seen from anywhere."""

import msgspec


class WorkerSpool(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in one gateway worker's spool."""

    worker: str
    records: int
    """Calls that ended and are not stored yet."""
    bytes: int
    oldest_s: float | None
    """The age of the oldest of them; `None` when none waits."""
    dropped_records: int
    """Never written, because the spool was full; since its folder was made."""
    dropped_bodies: int
    lost_records: int
    """Found unreadable when they were to be stored."""
    lost_bytes: int
    """Damage in which nobody can count records."""
    dead_letters: int
    """Refused by the backend; `heli dead-letters` shows them and sends them again."""
    trouble: str = ""
    """Why its folder cannot be read; nothing else is known then."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What one gateway's shipper posts."""

    gateway: str
    """The same for each life of a gateway in one place, and no other gateway's."""
    host: str
    """The name of its machine, for people."""
    workers: list[WorkerSpool]


class GatewaySpool(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that the backend has heard of lately."""

    gateway: str
    host: str
    heard_s_ago: float
    workers: list[WorkerSpool]


class Gateways(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /v1/gateways`, by host."""

    gateways: list[GatewaySpool]

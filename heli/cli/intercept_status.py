"""What the interceptor tells its owner: how much it decrypted, and what it left alone and why."""

import http.client
from collections.abc import Sequence

import msgspec

from heli.cli import figures
from heli.schema.paths import Paths
from heli.schema.settings import Settings

PATIENCE_S = 1.0
MOST_SHOWN = 3
"""Hosts that are named; the others are counted."""


class Refusal(msgspec.Struct, frozen=True):
    """A program that does not accept heli's certificate for a host, which is tunnelled for it."""

    host: str
    run: str = ""
    reason: str = ""


class Tunnels(msgspec.Struct, frozen=True):
    """Connections passed through unread."""

    connections: int = 0
    open: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0
    reason: str = ""
    """Why a host on the list was not decrypted; empty for hosts that are not on it."""


class InterceptStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers since it started."""

    gateway_is_up: bool
    handed_over: int
    """Calls given to the gateway."""
    sent_directly: int
    """Calls sent to their provider without the gateway: not recorded."""
    refusals: list[Refusal]
    tunnels: dict[str, Tunnels]
    """`{host: …}` of the hosts seen last."""
    tunnelled: Tunnels
    """To all hosts."""
    unreached: list[str] = []
    """Hosts that would be decrypted if the authority had not been made before they were known."""


def look_at_interceptor(settings: Settings, paths: Paths) -> InterceptStatus | None:
    """`None` when none of this heli's answers."""
    host = settings.host if settings.host != "localhost" else "127.0.0.1"
    connection = http.client.HTTPConnection(host, settings.ports.intercept, timeout=PATIENCE_S)
    try:
        secret = paths.intercept_secret.read_text().strip()
        connection.request("GET", "/status", headers={"Authorization": f"Bearer {secret}"})
        with connection.getresponse() as reply:
            return msgspec.json.decode(reply.read(), type=InterceptStatus) if reply.status == 200 else None
    except (OSError, http.client.HTTPException, msgspec.MsgspecError, ValueError):
        return None
    finally:
        connection.close()


def tell_unreached(hosts: Sequence[str]) -> str:
    """What is wrong with an authority that may not sign for these hosts, without what to do about it."""
    shown = ", ".join(hosts[:MOST_SHOWN]) + (" …" if len(hosts) > MOST_SHOWN else "")
    what = figures.counted(len(hosts), "host")
    return f"it was made before heli knew {what} ({shown}), so calls there pass through unseen"


def lines_of(seen: InterceptStatus) -> list[str]:
    """For people: one line of numbers, and one for each thing that is not recorded though it could be."""
    total = seen.tunnelled
    size = figures.size(total.bytes_up + total.bytes_down)
    parts = [f"intercepted {seen.handed_over:,}", f"left unread {total.connections:,} connections ({size})"]
    if seen.sent_directly:
        parts.append(f"past the gateway {seen.sent_directly:,}, not recorded")
    lines = [" · ".join(parts)]
    if seen.unreached:
        lines.append(f"  the authority: {tell_unreached(seen.unreached)}; `heli ca rotate` replaces it")
    for refusal in seen.refusals:
        who = f"a program of {refusal.run}" if refusal.run else "a program"
        lines.append(f"  {refusal.host} is not recorded: {who} refuses heli's certificate ({refusal.reason})")
    refused = {refusal.host for refusal in seen.refusals}
    for host, traffic in seen.tunnels.items():
        if traffic.reason and host not in refused:
            lines.append(f"  {host} is not recorded: {traffic.reason}")
    return lines

"""A gateway worker: one process, one event loop, one spool folder.

`python -m heli.proxy.gateway.worker 0` starts the first.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import msgspec
import uvloop

from heli.proxy.gateway.caller import CallerConnection
from heli.proxy.gateway.draining import drain
from heli.proxy.gateway.gateway import Gateway
from heli.proxy.gateway.metrics import Gauge
from heli.proxy.gateway.open_files import fit_connections
from heli.proxy.gateway.outside import Outside
from heli.proxy.gateway.ports import bind, listening_ports
from heli.proxy.parent_death import die_with_parent
from heli.proxy.spool.survey import survey
from heli.proxy.spool.writer import Spool
from heli.schema.errors import ExitCode, HeliError
from heli.schema.exchange import Listener
from heli.schema.paths import read_or_make_secret
from heli.schema.settings import Loaded, Settings, load_settings

log = logging.getLogger(__name__)

BACKLOG = 2048


def spool_gauges(loaded: Loaded, started: float) -> list[Gauge]:
    """The state of this heli's spool folders, read from the disk."""
    statuses = survey(loaded.paths.spool, loaded.paths.dead_letters)
    oldest = max((status.oldest_s or 0 for status in statuses), default=0)
    waiting = sum(status.records for status in statuses)
    return [
        Gauge("gateway_uptime_seconds", "Since this worker started.", time.monotonic() - started),
        Gauge("spool_waiting_records", "Calls not yet with the backend.", waiting),
        Gauge("spool_bytes", "What the spool holds on disk.", sum(status.bytes for status in statuses)),
        Gauge("spool_oldest_seconds", "Age of the oldest call that waits.", oldest),
        Gauge(
            "spool_dropped_records", "Records lost to a full spool.", sum(s.dropped_records for s in statuses)
        ),
        Gauge(
            "spool_dropped_bodies", "Bodies lost to a full spool.", sum(s.dropped_bodies for s in statuses)
        ),
    ]


async def _serve(loaded: Loaded, worker: str, *, is_shared: bool) -> None:
    settings = _within_limits(loaded.settings)
    loop = asyncio.get_running_loop()
    spool = Spool.open(loaded.paths.spool / worker, settings.spool)
    gauges = partial(spool_gauges, loaded, time.monotonic())
    secret = read_or_make_secret(loaded.paths.intercept_secret)
    outside = Outside.from_environ(os.environ, loaded)
    gateway = Gateway(settings, spool, worker, loop, gauges, secret, outside)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    servers = []
    try:
        for listener, port in listening_ports(settings).items():
            sock = bind(settings.host, port, is_shared=is_shared)
            servers.append(await loop.create_server(_factory(gateway, listener), sock=sock, backlog=BACKLOG))
        gc.freeze()
        log.info("%s is ready on %s", worker, ", ".join(str(p) for p in listening_ports(settings).values()))
        await stopped.wait()
        for server in servers:
            server.close()
        await drain(gateway)
    finally:
        spool.close()


def _within_limits(settings: Settings) -> Settings:
    """With no more connections than there may be open files: what is beyond fails calls at their provider."""
    possible = fit_connections(settings.gateway.max_connections)
    return msgspec.structs.replace(
        settings, gateway=msgspec.structs.replace(settings.gateway, max_connections=possible)
    )


def _factory(gateway: Gateway, listener: Listener | None) -> Callable[[], asyncio.BaseProtocol]:
    return lambda: cast(asyncio.BaseProtocol, CallerConnection(gateway, listener))


def run_worker(loaded: Loaded, index: int, *, is_shared: bool) -> int:
    """Serve until SIGTERM, then let the calls in flight end. Returns an exit code."""
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(0.001)
    try:
        uvloop.run(_serve(loaded, f"gateway-{index}", is_shared=is_shared))
    except HeliError as error:
        log.error("%s; %s", error.message, error.hint)
        return error.exit_code
    return ExitCode.OK


def main(arguments: list[str]) -> int:
    """`INDEX [shared] [parent=PID]`: which worker this is, and whether its ports are shared with others."""
    try:
        loaded = load_settings()
    except HeliError as error:
        sys.stderr.write(error.as_lines)
        return error.exit_code
    logging.basicConfig(
        level=loaded.settings.log_level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    die_with_parent(arguments)
    return run_worker(loaded, int(arguments[0]), is_shared="shared" in arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

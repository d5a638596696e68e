"""The store process: take the folder, open the engine, listen, and drain at the end."""

import asyncio
import errno
import fcntl
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

from heli.backend.store_server.engine import Engine, load_chdb
from heli.backend.store_server.handler import Handler
from heli.backend.store_server.http import Connection
from heli.backend.store_server.sandbox import confine
from heli.schema.errors import ConflictError, ExitCode, HeliError
from heli.schema.paths import make_private, read_or_make_secret
from heli.schema.settings import Loaded

USER = "heli"
BACKLOG = 128
DRAIN_S = 10.0

log = logging.getLogger("heli.store")


def run(loaded: Loaded) -> int:
    """See `run_store`."""
    logging.basicConfig(
        level=loaded.settings.log_level.upper(), format="%(asctime)s store %(levelname)s %(message)s"
    )
    # Times without a zone, in SQL text, are UTC wherever heli runs.
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        return asyncio.run(_serve(loaded))
    except HeliError as error:
        sys.stderr.write(error.as_lines)
        return error.exit_code


async def _serve(loaded: Loaded) -> int:
    began = time.monotonic()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    folder = make_private(loaded.paths.request_log)
    lock = _take(folder)
    listener = _listen(loaded.settings.ports.store)
    password = read_or_make_secret(loaded.paths.store_password)
    chdb = load_chdb()
    # Here is one thread yet. The engine's come when it opens the folder.
    if unconfined := confine(folder):
        log.warning("not confined, so that SQL may read what this user may: %s", unconfined)
    engine = Engine(chdb, folder, loaded.settings.store.max_memory_bytes)
    handler = Handler(engine, USER, password)
    connections: set[Connection] = set()
    server = await loop.create_server(
        lambda: Connection(handler, connections), sock=listener, backlog=BACKLOG
    )
    log.info(
        "listening on 127.0.0.1:%d, request log in %s, %.1f s to start",
        loaded.settings.ports.store, folder, time.monotonic() - began,
    )  # fmt: skip
    await stopping.wait()
    server.close()
    await _drain(connections)
    await asyncio.to_thread(handler.close)
    engine.close()
    os.close(lock)
    log.info("stopped")
    return ExitCode.OK


async def _drain(connections: set[Connection]) -> None:
    """Let the calls that have come in be answered, for a while."""
    for connection in list(connections):
        connection.finish()
    deadline = time.monotonic() + DRAIN_S
    while any(connection.is_busy for connection in connections):
        if time.monotonic() > deadline:
            log.warning("%d calls were cut off", sum(c.is_busy for c in connections))
            return
        await asyncio.sleep(0.02)


def _take(folder: Path) -> int:
    """Lock the folder for this process; the lock goes with the process, however it ends."""
    descriptor = os.open(folder / "heli.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConflictError(
            f"the request log in {folder} is in use by another store",
            "stop that one first, or set HELI_HOME to use another folder",
        ) from error
    return descriptor


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(
                f"port {port} on 127.0.0.1 is in use", "stop what listens there, or set ports.store"
            ) from error
        raise

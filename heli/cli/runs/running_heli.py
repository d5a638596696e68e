"""A heli to capture with: the one that runs, or one that is started in the background."""

import datetime
import socket
import time
from collections.abc import Callable

from heli.cli.supervisor.detach import start_detached
from heli.cli.supervisor.events import AllReady, Died, Event, Ready, Stuck
from heli.cli.supervisor.port_check import port_conflict
from heli.cli.supervisor.process_file import find_running
from heli.cli.up import NAME as SUPERVISOR
from heli.schema.errors import ConflictError, HeliError, UnreachableError
from heli.schema.paths import make_private
from heli.schema.settings import Loaded, Settings

INTERCEPT = "intercept"
NEEDED = frozenset({"gateway", INTERCEPT})
"""What it takes to capture; the others may come later, as calls wait for them on the disk."""
ANSWER_S = 0.5
COMES_BACK_S = 1.5
"""One that has died is back in 1.1 to 1.4 s. With its own start, `heli run` takes less than two seconds."""
STARTS_S = 10.0
"""How long a heli may take that was started a moment ago."""
POLL_S = 0.05


class _IsEnough(Exception):  # noqa: N818 - not an error: it ends the waiting
    """What it takes is ready."""


def ensure_running(loaded: Loaded, say: Callable[[str], None]) -> None:
    """Return when the interceptor answers. Raises `HeliError` when it does not, and why."""
    folder, settings, began = loaded.paths.processes, loaded.settings, time.monotonic()
    host, port = intercept_address(settings)
    is_ours = find_running(folder, INTERCEPT) is not None
    if is_ours and answers(host, port):
        return
    supervisor = find_running(folder, SUPERVISOR)
    if is_ours or supervisor:
        age = datetime.datetime.now(datetime.UTC) - supervisor.started_at if supervisor else None
        is_starting = age is not None and age.total_seconds() < STARTS_S
        _wait(host, port, began + (STARTS_S if is_starting else COMES_BACK_S))
        return
    if is_taken(host, port):
        raise port_conflict("intercept", port, loaded.origins)
    say("heli: starting in the background; `heli down` stops it")
    _start(loaded, host, port)


def intercept_address(settings: Settings) -> tuple[str, int]:
    """Where programs on this machine reach the interceptor."""
    host = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return host, settings.ports.intercept


def answers(host: str, port: int, patience_s: float = ANSWER_S) -> bool:
    """Whether the interceptor is well. One that hangs takes connections, as the kernel does that for it."""
    try:
        with socket.create_connection((host, port), patience_s) as connection:
            connection.settimeout(patience_s)
            connection.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def is_taken(host: str, port: int) -> bool:
    """Whether anybody listens."""
    try:
        with socket.create_connection((host, port), ANSWER_S):
            return True
    except OSError:
        return False


def _wait(host: str, port: int, deadline: float) -> None:
    while not answers(host, port, min(ANSWER_S, max(POLL_S, deadline - time.monotonic()))):
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"the interceptor does not answer on port {port}",
                "`heli status` says why, `heli restart` helps",
            )
        time.sleep(POLL_S)


def _start(loaded: Loaded, host: str, port: int) -> None:
    make_private(loaded.paths.processes)
    ready: set[str] = set()

    def report(event: Event) -> None:
        match event:
            case Ready(name):
                ready.add(name)
            case Died(name=name, reason=reason, message=message, hint=hint, log=log) if name in NEEDED:
                raise HeliError(message or f"the {name} ended ({reason})", hint or f"see {log}")
            case Stuck(name=name, message=message, hint=hint) if name in NEEDED:
                raise HeliError(message, hint)
        if ready >= NEEDED or isinstance(event, AllReady):
            raise _IsEnough

    try:
        start_detached(loaded.paths, report)
    except _IsEnough:
        return
    except HeliError as error:
        is_beaten = error.exit_code == ConflictError.exit_code
        if not (is_beaten and find_running(loaded.paths.processes, SUPERVISOR)):
            raise
        # Somebody else has started heli at the same moment.
        _wait(host, port, time.monotonic() + STARTS_S)

"""`heli serve gateway`: the parent of the workers and of the shipper, which restarts what ends."""

import logging
import signal
import subprocess
import sys
import threading
import time

from heli.providers.hosts import check_keys
from heli.proxy.gateway.open_files import MOST_RESERVED, fit_connections
from heli.proxy.gateway.ports import bind, listening_ports
from heli.proxy.parent_death import parent_argument
from heli.schema.errors import ExitCode, HeliError
from heli.schema.settings import Loaded

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
STEADY_S = 1.0
"""A child that has run so long does not end at once each time: it starts again without delay."""


class Child:
    """A process that is kept running."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.starts_at = 0.0
        self.pause_s = FIRST_PAUSE_S

    def tend(self, now: float) -> None:
        """Start it if it is due; note its end and when it is due again."""
        if self.process is None:
            if now >= self.starts_at:
                self._start(now)
            return
        code = self.process.poll()
        if code is None:
            return
        self.process = None
        if now - self.started_at > STEADY_S:
            self.pause_s = FIRST_PAUSE_S
        self._start_later(now, f"ended with {code}")

    def _start(self, now: float) -> None:
        self.started_at = now
        try:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)  # noqa: S603
        except OSError as error:  # the machine is short of something: the others must live on
            self._start_later(now, f"cannot be started ({error})")

    def _start_later(self, now: float, why: str) -> None:
        self.starts_at = now + self.pause_s
        log.warning("%s %s; it starts again in %.1f s", self.name, why, self.pause_s)
        self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S)

    def stop(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, timeout_s: float) -> None:
        """Wait for its end; end it when it takes too long."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run_gateway(loaded: Loaded, workers: int) -> int:
    """Run the workers and the shipper until SIGTERM or SIGINT; then drain. Returns an exit code."""
    try:
        check_keys(loaded.settings.providers, loaded.origins)
        for port in listening_ports(loaded.settings).values():
            bind(loaded.settings.host, port, is_shared=False).close()
    except HeliError as error:
        sys.stderr.write(error.as_lines)
        return error.exit_code
    _tell_limits(loaded)
    share = ["shared"] if workers > 1 else []
    callers = [
        Child(f"gateway-{index}", _command("heli.proxy.gateway.worker", str(index), *share))
        for index in range(workers)
    ]
    shipper = Child("shipper", _command("heli.proxy.spool.shipper"))
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.is_set():
        for child in (*callers, shipper):
            child.tend(time.monotonic())
        stopped.wait(0.05)
    _drain(callers, loaded.settings.gateway.drain_timeout_s + 10)
    _drain([shipper], 10)
    return ExitCode.OK


def _tell_limits(loaded: Loaded) -> None:
    """Raise the limit of open files, which the workers inherit, and say so when it does not do."""
    wanted = loaded.settings.gateway.max_connections
    possible = fit_connections(wanted)
    if possible < wanted:
        log.warning(
            "gateway.max_connections is %d, but the limit of open files allows a worker %d; more callers are"
            " turned away. Raise it (`ulimit -n %d`), or lower the setting",
            wanted,
            possible,
            2 * wanted + MOST_RESERVED,
        )


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", module, *arguments, parent_argument()]


def _drain(children: list[Child], timeout_s: float) -> None:
    for child in children:
        child.stop()
    deadline = time.monotonic() + timeout_s
    for child in children:
        child.wait(max(0.1, deadline - time.monotonic()))

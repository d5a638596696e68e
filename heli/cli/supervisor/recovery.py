"""Finds what an earlier `heli up`, that was killed, has left behind, and waits until it is gone."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from heli.cli.supervisor.process_file import ProcessRecord, find_running
from heli.schema.errors import ConflictError

PATIENCE_S = 10.0
"""Those left behind are draining: the kernel told them that their supervisor is gone."""


def clear_the_way(folder: Path, names: list[str], say: Callable[[str], None]) -> None:
    """Wait for leftovers, then kill them. Raises `ConflictError` for a process that somebody runs alone."""
    leftovers = []
    for name in names:
        running = find_running(folder, name)
        if running and running.supervisor_pid is None:
            raise ConflictError(
                f"{name} runs already, alone (pid {running.pid})",
                "end it first: heli up starts all processes itself",
            )
        if running:
            leftovers.append(running)
    if leftovers:
        say("an earlier heli was killed; waiting for its calls in flight to end")
    deadline = time.monotonic() + PATIENCE_S
    for process in leftovers:
        _wait_or_kill(process, deadline)


def _wait_or_kill(process: ProcessRecord, deadline: float) -> None:
    if not wait_for_end(process.pid, deadline - time.monotonic()):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        wait_for_end(process.pid, PATIENCE_S)


def wait_for_end(pid: int, timeout_s: float) -> bool:
    """Whether a process that is not our child has ended within the time."""
    timeout_s = max(0.0, timeout_s)
    if not hasattr(os, "pidfd_open"):
        return _poll_for_end(pid, timeout_s)
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:
        return _poll_for_end(pid, timeout_s)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def _poll_for_end(pid: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False

"""`heli down`: stop what `heli up` has started."""

import os
import signal
from typing import Annotated

import typer

from heli.cli.supervisor.process_file import ProcessRecord, find_running
from heli.cli.supervisor.recovery import wait_for_end
from heli.cli.supervisor.services import NAMES, services_of
from heli.cli.terminal import say
from heli.cli.up import NAME
from heli.schema.errors import ExitCode, HeliError
from heli.schema.settings import Loaded, load_settings

MARGIN_S = 15.0


def down(
    now: Annotated[bool, typer.Option("--now", help="Do not wait for calls in flight.")] = False,
) -> int:
    """Stop heli. Calls in flight may finish first, and what is captured is stored.

    \b
    Examples:
      heli down
      heli down --now        end calls in flight

    Nothing is lost with --now either: what is in the spool is stored when heli runs again.
    """
    loaded = load_settings()
    if not stop(loaded, now):
        say("heli is not running")
        for name in NAMES:
            alone = find_running(loaded.paths.processes, name)
            if alone:
                say(f"  but {name} runs alone (pid {alone.pid}); end it where it was started")
    return ExitCode.OK


def stop(loaded: Loaded, now: bool = False) -> bool:
    """Stop the supervisor and wait until it is gone; False when none runs."""
    running = find_running(loaded.paths.processes, NAME)
    if not running:
        return False
    say(f"stopping heli (pid {running.pid}) …")
    _signal(running, twice=now)
    longest_s = sum(service.drain_s for service in services_of(loaded.settings)) + MARGIN_S
    if not wait_for_end(running.pid, longest_s):
        raise HeliError(
            f"heli (pid {running.pid}) has not ended after {longest_s:.0f} s", "`heli down --now` ends it"
        )
    say("heli has stopped")
    return True


def _signal(running: ProcessRecord, twice: bool) -> None:
    """A second signal means: now."""
    try:
        os.kill(running.pid, signal.SIGTERM)
        if twice:
            os.kill(running.pid, signal.SIGINT)
    except ProcessLookupError:
        return

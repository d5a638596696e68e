"""`heli up`: everything on this machine, supervised."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer

from heli.cli import figures
from heli.cli.options import ColorOption
from heli.cli.supervisor.detach import PipeReport, start_detached
from heli.cli.supervisor.events import Event, Failed
from heli.cli.supervisor.port_check import check_ports
from heli.cli.supervisor.process_file import ProcessFile, ProcessRecord, find_running
from heli.cli.supervisor.recovery import clear_the_way
from heli.cli.supervisor.services import Service, services_of
from heli.cli.supervisor.supervisor import Supervisor
from heli.cli.terminal import say
from heli.cli.up_screen import Screen
from heli.schema.errors import ExitCode, HeliError
from heli.schema.paths import make_private
from heli.schema.settings import Loaded, load_settings

NAME = "up"
"""The supervisor's own name among the process files."""


def up(
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="Return when everything is ready; stop it with `heli down`."),
    ] = False,
    color: ColorOption = None,
    report_to: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> int:
    """Start heli on this machine: gateway, interceptor, backend and store.

    \b
    Examples:
      heli up                                in the foreground; Ctrl-C stops it
      heli up -d                             in the background
      HELI_HOME=/tmp/try heli up             with all its files elsewhere
      HELI_PORTS__OPENAI=18787 heli up       on another port

    A process that dies is started again. Ctrl-C lets calls in flight finish; a second one ends them.
    Exit code 5 when a port is taken; nothing is left running then.
    """
    loaded = load_settings()
    running = find_running(loaded.paths.processes, NAME)
    if running and report_to is None:
        tell_it_runs(running)
        return ExitCode.OK
    if detach:
        return start_in_background(loaded)
    return _supervise(loaded, report_to)


def tell_it_runs(running: ProcessRecord) -> None:
    since = figures.clock(running.started_at)
    say(f"heli runs already (pid {running.pid}, since {since}); `heli status` shows it, `heli down` stops it")


def start_in_background(loaded: Loaded) -> int:
    services = services_of(loaded.settings)
    make_private(loaded.paths.processes)
    check_the_way(loaded, services)
    screen = Screen(services, loaded.settings, loaded.paths)
    screen.open()
    start_detached(loaded.paths, screen)
    say("\nIt runs in the background; `heli down` stops it.")
    return ExitCode.OK


def check_the_way(loaded: Loaded, services: list[Service]) -> None:
    """Nothing left behind, and all ports free."""
    clear_the_way(loaded.paths.processes, [service.name for service in services], say)
    check_ports(services, loaded.origins)


def _supervise(loaded: Loaded, report_to: int | None) -> int:
    services = services_of(loaded.settings)
    screen = Screen(services, loaded.settings, loaded.paths)
    report = screen if report_to is None else PipeReport(report_to, screen)
    try:
        code = _run(loaded, services, report, screen)
    except HeliError as error:
        report(Failed(error.message, error.hint, error.exit_code))
        raise
    say("heli has stopped")
    return code


def _run(loaded: Loaded, services: list[Service], report: Callable[[Event], None], screen: Screen) -> int:
    ports = {name: port for service in services for name, port in service.ports.items()}
    with ProcessFile.claim(loaded.paths.processes, NAME, ports) as claim:
        check_the_way(loaded, services)
        screen.open()

        async def supervise() -> int:
            return await Supervisor(services, claim, loaded.paths.logs, report).run()

        return asyncio.run(supervise())

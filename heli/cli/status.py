"""`heli status`: what runs, on which ports, and what waits to be stored."""

import datetime
import sys
from typing import Annotated

import msgspec
import typer

from heli.cli import figures
from heli.cli.options import ColorOption
from heli.cli.sink import encode
from heli.cli.supervisor.probing import ask_all
from heli.cli.supervisor.process_file import ChildRecord, ProcessRecord, find_running
from heli.cli.supervisor.services import Service, services_of
from heli.cli.table import Cell, Column, Table
from heli.cli.terminal import say, wants_color, width
from heli.cli.up import NAME as SUPERVISOR
from heli.cli.up_screen import where
from heli.schema.errors import ExitCode
from heli.schema.settings import Loaded, load_settings


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process as it is now."""

    name: str
    state: str
    """`ready`, `starting`, `not answering`, `waiting` (to be started again), `stopping` or `down`."""
    pid: int | None = None
    port: int | None = None
    """The first of its ports."""
    ports: dict[str, int] = {}
    uptime_s: float | None = None
    restarts: int = 0
    log: str = ""


class WorkerSpool(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in one gateway worker's spool."""

    worker: str
    records: int
    bytes: int
    oldest_s: float | None
    dropped_records: int
    dropped_bodies: int
    lost_records: int
    """Found unreadable when they were to be stored."""
    dead_letters: int
    """Refused by the backend; they are kept in the folder `dead_letters` of `heli paths`."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `heli status --json` prints."""

    running: bool
    supervisor_pid: int | None
    processes: list[ProcessStatus]
    spool: list[WorkerSpool]
    lag_s: float | None
    """The age of the oldest record that is not stored yet; `None` when nothing waits."""
    dropped: int
    """Records that were never written, because the spool was full."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
    color: ColorOption = None,
) -> int:
    """Tell what runs, on which ports, and what waits to be stored.

    \b
    Examples:
      heli status
      heli status --json | jq .lag_s

    It works also while parts are down. Exit code 6 when nothing runs.
    """
    loaded = load_settings()
    seen = look(loaded)
    if as_json:
        sys.stdout.write(encode(seen).decode() + "\n")
    else:
        _print(seen, loaded)
    return ExitCode.OK if seen.running else ExitCode.UNREACHABLE


def look(loaded: Loaded) -> Status:
    """The state of everything on this machine."""
    folder = loaded.paths.processes
    supervisor = find_running(folder, SUPERVISOR)
    services = services_of(loaded.settings)
    answers = ask_all(probe for service in services for probe in service.probes)
    processes = []
    for service in services:
        own, answers = answers[: len(service.probes)], answers[len(service.probes) :]
        processes.append(_process(service, own, find_running(folder, service.name), supervisor))
    spool = read_spool(loaded)
    ages = [worker.oldest_s for worker in spool if worker.oldest_s is not None]
    return Status(
        running=supervisor is not None or any(process.state != "down" for process in processes),
        supervisor_pid=supervisor.pid if supervisor else None,
        processes=processes,
        spool=spool,
        lag_s=max(ages, default=None),
        dropped=sum(worker.dropped_records for worker in spool),
    )


def read_spool(loaded: Loaded) -> list[WorkerSpool]:
    """What waits in the spool folder, whether or not a gateway runs."""
    from heli.proxy.spool import survey

    return [
        WorkerSpool(
            worker=found.worker,
            records=found.records_waiting,
            bytes=found.bytes,
            oldest_s=found.oldest_age_s,
            dropped_records=found.dropped_records,
            dropped_bodies=found.dropped_bodies,
            lost_records=found.lost_records,
            dead_letters=found.dead_letters,
        )
        for found in survey(loaded.paths.spool, loaded.paths.dead_letters)
    ]


def _process(
    service: Service,
    answers: list[int | None],
    running: ProcessRecord | None,
    supervisor: ProcessRecord | None,
) -> ProcessStatus:
    """Put together what the health endpoints, the process's own file and the supervisor say."""
    children = supervisor.children if supervisor else []
    child = next((child for child in children if child.name == service.name), None)
    started_at = running.started_at if running else child.started_at if child and child.pid else None
    uptime = datetime.datetime.now(datetime.UTC) - started_at if started_at else None
    return ProcessStatus(
        name=service.name,
        state=_state(answers, child, is_running=running is not None),
        pid=running.pid if running else child.pid if child else None,
        port=next(iter(service.ports.values())),
        ports=service.ports,
        uptime_s=round(uptime.total_seconds(), 1) if uptime else None,
        restarts=child.restarts if child else 0,
        log=child.log if child else "",
    )


def _state(answers: list[int | None], child: ChildRecord | None, is_running: bool) -> str:
    if all(status is not None and 200 <= status < 300 for status in answers):
        return "ready"
    if child and child.state in ("starting", "waiting", "stopping"):
        return child.state
    if any(status is not None for status in answers):
        return "not ready"
    return "not answering" if child or is_running else "down"


STYLES = {"ready": "good", "starting": "warn", "down": "dim"}
COLUMNS = (
    Column[tuple[ProcessStatus, str]]("process", lambda row: Cell(row[0].name)),
    Column[tuple[ProcessStatus, str]](
        "state", lambda row: Cell(row[0].state, STYLES.get(row[0].state, "bad"))
    ),
    Column[tuple[ProcessStatus, str]]("pid", lambda row: Cell(str(row[0].pid or "-")), is_right=True, rank=3),
    Column[tuple[ProcessStatus, str]]("up", lambda row: Cell(_uptime(row[0])), is_right=True, rank=2),
    Column[tuple[ProcessStatus, str]](
        "restarts",
        lambda row: Cell(f"{row[0].restarts:,}", "warn" if row[0].restarts else ""),
        is_right=True,
        rank=1,
    ),
    Column[tuple[ProcessStatus, str]]("where", lambda row: Cell(row[1]), is_elastic=True),
)


def _uptime(process: ProcessStatus) -> str:
    return "-" if process.uptime_s is None else figures.duration(max(100.0, process.uptime_s * 1000))


def _print(seen: Status, loaded: Loaded) -> None:
    if not seen.running:
        say("heli is not running; `heli up` starts it")
    rows = [(process, where(process.name, loaded.settings)) for process in seen.processes]
    columns = width() if sys.stdout.isatty() else 200
    table = Table(COLUMNS, wants_color(sys.stdout))
    table.learn(rows)
    for text in [table.head(columns), *(table.line(row, columns) for row in rows)]:
        sys.stdout.write(text + "\n")
    sys.stdout.write(f"\n{_spool_line(seen)}\n")
    for process in seen.processes:
        if process.state not in ("ready", "starting", "stopping", "down") and process.log:
            say(f"{process.name} is {process.state}; its log: {process.log}")


def _spool_line(seen: Status) -> str:
    waiting = sum(worker.records for worker in seen.spool)
    letters = sum(worker.dead_letters for worker in seen.spool)
    parts = [f"spool {waiting:,} waiting"]
    if waiting:
        parts.append(figures.size(sum(worker.bytes for worker in seen.spool)))
    if seen.lag_s is not None:
        parts.append(f"oldest {figures.duration(max(100.0, seen.lag_s * 1000))}")
    parts.append(f"dropped {seen.dropped:,}")
    if bodies := sum(worker.dropped_bodies for worker in seen.spool):
        parts.append(f"bodies dropped {bodies:,}")
    if lost := sum(worker.lost_records for worker in seen.spool):
        parts.append(f"unreadable {lost:,}")
    if letters:
        parts.append(f"could not be stored {letters:,}")
    return " · ".join(parts)

"""`heli status`: what runs, on which ports, and what waits to be stored."""

import sys
from typing import Annotated

import msgspec
import typer

from heli.cli import figures
from heli.cli.backend_client import open_client
from heli.cli.intercept_status import InterceptStatus, lines_of, look_at_interceptor
from heli.cli.options import ColorOption
from heli.cli.printable import line
from heli.cli.process_states import ProcessStatus, look_at_processes
from heli.cli.sink import encode
from heli.cli.table import Cell, Column, Table
from heli.cli.terminal import say, wants_color, width
from heli.schema.errors import ExitCode, HeliError
from heli.schema.heartbeat import GatewaySpool, WorkerSpool
from heli.schema.settings import Loaded, load_settings

ANSWER_S = 2.0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `heli status --json` prints."""

    running: bool
    supervisor_pid: int | None
    processes: list[ProcessStatus]
    spool: list[WorkerSpool]
    lag_s: float | None
    """The age of the oldest record that is not stored yet; `None` when nothing waits."""
    intercept: InterceptStatus | None
    """`None` when no interceptor of this heli answers."""
    dropped: int
    """Records that were never written, because the spool was full."""
    gateways: list[GatewaySpool]
    """Gateways on other machines that the backend has heard of lately."""


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
        _print(seen)
    return ExitCode.OK if seen.running else ExitCode.UNREACHABLE


def look(loaded: Loaded) -> Status:
    """The state of everything on this machine."""
    supervisor, processes = look_at_processes(loaded)
    spool = read_spool(loaded)
    ages = [worker.oldest_s for worker in spool if worker.oldest_s is not None]
    return Status(
        running=supervisor is not None or any(process.pid for process in processes),
        supervisor_pid=supervisor.pid if supervisor else None,
        processes=processes,
        spool=spool,
        lag_s=max(ages, default=None),
        intercept=look_at_interceptor(loaded.settings, loaded.paths),
        dropped=sum(worker.dropped_records for worker in spool),
        gateways=read_gateways(loaded) if _has_backend(loaded, processes) else [],
    )


def _has_backend(loaded: Loaded, processes: list[ProcessStatus]) -> bool:
    """Whether it is worth asking: it answers here, or stands elsewhere."""
    is_here = any(process.name == "backend" and process.state == "ready" for process in processes)
    return is_here or bool(loaded.settings.backend.url)


def read_spool(loaded: Loaded) -> list[WorkerSpool]:
    """What waits in the spool folder, whether or not a gateway runs."""
    from heli.proxy.spool import survey

    return survey(loaded.paths.spool, loaded.paths.dead_letters)


def read_gateways(loaded: Loaded) -> list[GatewaySpool]:
    """The gateways on other machines, as the backend tells; none when it does not answer, or is too old."""
    own = loaded.paths.gateway_id
    try:
        with open_client(loaded, answer_s=ANSWER_S) as client:
            told = client.gateways()
        own_id = own.read_text().strip() if own.exists() else ""
    except (HeliError, OSError):
        return []
    return [each for each in told if each.gateway != own_id]


STYLES = {"ready": "good", "starting": "warn", "down": "dim"}
COLUMNS = (
    Column[ProcessStatus]("process", lambda row: Cell(row.name)),
    Column[ProcessStatus]("state", lambda row: Cell(row.state, STYLES.get(row.state, "bad"))),
    Column[ProcessStatus]("pid", lambda row: Cell(str(row.pid or "-")), is_right=True, rank=3),
    Column[ProcessStatus]("up", lambda row: Cell(_uptime(row)), is_right=True, rank=2),
    Column[ProcessStatus]("restarts", lambda row: Cell(f"{row.restarts:,}"), is_right=True, rank=1),
    Column[ProcessStatus]("where", lambda row: Cell(row.where), is_elastic=True),
)


def _uptime(process: ProcessStatus) -> str:
    return "-" if process.uptime_s is None else figures.duration(max(100.0, process.uptime_s * 1000))


def _print(seen: Status) -> None:
    if not seen.running:
        say("heli is not running; `heli up` starts it")
    rows = seen.processes
    columns = width() if sys.stdout.isatty() else 200
    table = Table(COLUMNS, wants_color(sys.stdout))
    table.learn(rows)
    for text in [table.head(columns), *(table.line(row, columns) for row in rows)]:
        sys.stdout.write(text + "\n")
    sys.stdout.write(f"\n{_spool_line(seen.spool, seen.dropped)}\n")
    for gateway in seen.gateways:
        dropped = sum(worker.dropped_records for worker in gateway.workers)
        sys.stdout.write(f"{line(gateway.host)}: {_spool_line(gateway.workers, dropped)}\n")
    if any(worker.dead_letters for worker in seen.spool):
        say("`heli dead-letters list` tells what could not be stored, and why; `replay` sends it again")
    if seen.intercept is not None:
        sys.stdout.writelines(f"{text}\n" for text in lines_of(seen.intercept))
    for worker in seen.spool:
        if worker.trouble:
            say(f"spool of {worker.worker}: {worker.trouble}; what is in it waits until that is mended")
    for process in seen.processes:
        if process.state in TROUBLE or process.trouble:
            log = f"; its log is {process.log}" if process.log else ""
            say(f"{process.name}: {process.trouble or TROUBLE[process.state] + log}")
            if process.hint:
                say(f"  {process.hint}")


TROUBLE = {
    "waiting": "it has died and is started again in a moment",
    "not ready": "it runs, but says that it is not ready",
    "not answering": "it runs, but does not answer",
    "foreign": "its port is taken by something that this heli has not started",
}


def _spool_line(spool: list[WorkerSpool], dropped: int) -> str:
    waiting = sum(worker.records for worker in spool)
    ages = [worker.oldest_s for worker in spool if worker.oldest_s is not None]
    parts = [f"spool {waiting:,} waiting"]
    if waiting:
        parts.append(figures.size(sum(worker.bytes for worker in spool)))
    if ages:
        parts.append(f"oldest {figures.duration(max(100.0, max(ages) * 1000))}")
    parts.append(f"dropped {dropped:,}")
    if bodies := sum(worker.dropped_bodies for worker in spool):
        parts.append(f"bodies dropped {bodies:,}")
    if lost := sum(worker.lost_records for worker in spool):
        parts.append(f"unreadable {lost:,}")
    elif lost_bytes := sum(worker.lost_bytes for worker in spool):
        parts.append(f"unreadable {figures.size(lost_bytes)}")
    if letters := sum(worker.dead_letters for worker in spool):
        parts.append(f"could not be stored {letters:,}")
    return " · ".join(parts)

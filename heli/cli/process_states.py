"""What runs: put together from the health endpoints, the process files, and what the supervisor tells."""

import asyncio
import datetime

import msgspec

from heli.cli.supervisor.probing import ask_all, why_not
from heli.cli.supervisor.process_file import ChildRecord, ProcessRecord, find_running
from heli.cli.supervisor.services import Service, probes_of, services_of
from heli.cli.up import NAME as SUPERVISOR
from heli.cli.up_screen import where
from heli.schema.settings import Loaded


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process as it is now."""

    name: str
    state: str
    """`ready`, `starting`, `not ready`, `not answering`, `waiting` (to be started again), `stopping`, `down`,
    or `foreign`: nothing of this heli runs, but something answers on the port."""
    pid: int | None = None
    port: int | None = None
    """The first of its ports."""
    ports: dict[str, int] = {}
    where: str = ""
    """For people."""
    uptime_s: float | None = None
    restarts: int = 0
    log: str = ""
    trouble: str = ""
    """Why it is not ready, in its own words."""
    hint: str = ""


def look_at_processes(loaded: Loaded) -> tuple[ProcessRecord | None, list[ProcessStatus]]:
    """The supervisor, when there is one, and every process that these settings ask for.

    Processes that run are asked on the ports on which they were started, whatever the settings say now.
    """
    folder = loaded.paths.processes
    supervisor = find_running(folder, SUPERVISOR)
    children = {child.name: child for child in supervisor.children} if supervisor else {}
    found = []
    for service in services_of(loaded.settings):
        running, child = find_running(folder, service.name), children.get(service.name)
        told = child or running
        ports = told.ports if told and told.ports else service.ports
        found.append((_with_ports(service, ports, loaded), running, child))
    answers = iter(ask_all(probe for service, _, _ in found for probe in service.probes))
    host = loaded.settings.host
    return supervisor, [
        _process(service, running, child, [next(answers) for _ in service.probes], host)
        for service, running, child in found
    ]


def _with_ports(service: Service, ports: dict[str, int], loaded: Loaded) -> Service:
    probes = probes_of(service.name, ports, loaded.settings.host)
    return msgspec.structs.replace(service, ports=ports, probes=probes)


def _process(
    service: Service,
    running: ProcessRecord | None,
    child: ChildRecord | None,
    answers: list[int | None],
    host: str,
) -> ProcessStatus:
    state = _state(answers, child, is_ours=bool(running or (child and child.pid)))
    trouble, hint = _trouble_of(service, state, child)
    pid = child.pid if child else running.pid if running else None
    started_at = child.started_at if child and child.pid else running.started_at if running else None
    uptime = datetime.datetime.now(datetime.UTC) - started_at if started_at else None
    return ProcessStatus(
        name=service.name,
        state=state,
        pid=pid,
        port=next(iter(service.ports.values())),
        ports=service.ports,
        where=where(service.name, service.ports, host),
        uptime_s=round(uptime.total_seconds(), 1) if uptime else None,
        restarts=child.restarts if child else 0,
        log=child.log if child else "",
        trouble=trouble,
        hint=hint,
    )


def _trouble_of(service: Service, state: str, child: ChildRecord | None) -> tuple[str, str]:
    if state == "not ready" or (state == "starting" and service.name == "backend"):
        return asyncio.run(why_not(service.probes))
    if child and not child.ready_s and state in ("waiting", "starting"):
        return child.complaint
    return "", ""


def _state(answers: list[int | None], child: ChildRecord | None, is_ours: bool) -> str:
    answering = [status for status in answers if status is not None]
    if child and child.state in ("waiting", "stopping"):
        return child.state
    if not is_ours:
        return "foreign" if answering else "down"
    if len(answering) == len(answers) and all(200 <= status < 300 for status in answering):
        return "ready"
    if child and child.state == "starting":
        return "starting"
    return "not ready" if answering else "not answering"

"""heli itself on this machine: versions, processes, folders, disk, spool, authority, clock."""

import datetime
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from heli import __version__
from heli.cli import figures
from heli.cli.doctor.finding import Finding, finding, good, note
from heli.cli.intercept_status import look_at_interceptor, tell_unreached
from heli.cli.process_states import look_at_processes
from heli.cli.status import read_spool
from heli.cli.supervisor.port_check import check_ports
from heli.cli.supervisor.services import services_of
from heli.schema.errors import HeliError
from heli.schema.heartbeat import WorkerSpool
from heli.schema.paths import Paths
from heli.schema.setting_checks import how_to_set
from heli.schema.settings import Loaded

OLDEST_PYTHON = (3, 12)
LITTLE_BYTES = 1024**3
LAG_S = 30.0
"""A record that waits longer than this is not merely on its way."""
EARLIEST = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
MOST_FILES = 2_000
BASE_URL = "use the program's base URL, or see docs/clients.md"
FIXES = {
    "authority": "heli ca rotate; a program that runs since before must be started again",
    "private address": "list it in gateway.allow_targets, if it is meant",
    "failed": "heli restart",
}
"""What helps against a connection's not being decrypted, by a word of the reason."""


def look_at_machine(loaded: Loaded) -> Iterator[Finding]:
    """Everything but runtimes and the environment."""
    yield from check_versions()
    yield from check_processes(loaded)
    yield from check_interceptor(loaded)
    yield from check_folders(loaded.paths)
    yield from check_disk(loaded)
    yield from check_spool(loaded)
    yield from check_authority(loaded.paths)
    yield from check_clock(loaded)


def check_versions() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    told = f"heli {__version__} on Python {python} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        yield finding("version", told, "heli wants Python 3.12 or newer: install it anew with one")
    else:
        yield good("version", told)


def check_processes(loaded: Loaded) -> Iterator[Finding]:
    """Processes, their ports and stores: the backend is ready when its stores answer."""
    supervisor, processes = look_at_processes(loaded)
    if supervisor is None and all(process.state in ("down", "foreign") for process in processes):
        yield finding("processes", "heli is not running", "heli up -d")
        yield from _check_ports(loaded)
    for process in processes:
        told = f"{process.name}: {process.state}"
        if process.state == "foreign":
            ports = ", ".join(map(str, process.ports.values()))
            name = f"ports.{next(iter(process.ports))}"
            way = how_to_set(name, "PORT", loaded.origins.get(name, ""))
            fix = f"end that program, or choose other ports: {way}"
            yield finding("ports", f"{told}: another program answers on {ports}", fix)
        elif process.state == "ready":
            yield good("processes", f"{told} · {process.where}")
        elif process.state != "down" or supervisor is not None:
            why = f": {process.trouble}" if process.trouble else ""
            yield finding("processes", told + why, process.hint or f"see {process.log or '`heli status`'}")


def _check_ports(loaded: Loaded) -> Iterator[Finding]:
    """Whether heli could take its ports, which it does not hold now."""
    try:
        check_ports(services_of(loaded.settings), loaded.origins)
    except HeliError as error:
        yield finding("ports", error.message, error.hint)


def check_interceptor(loaded: Loaded) -> Iterator[Finding]:
    seen = look_at_interceptor(loaded.settings, loaded.paths)
    if seen is None:
        return
    if not seen.gateway_is_up:
        yield finding("intercept", "it does not reach the gateway, so calls are not recorded", "heli restart")
    if seen.sent_directly:
        told = f"{seen.sent_directly:,} calls went past the gateway and are not recorded"
        yield note(
            "intercept", told, "the gateway was down, or they were too large; `heli status` tells more"
        )
    for refusal in seen.refusals:
        told = f"{refusal.host} is not decrypted: a program refuses heli's certificate ({refusal.reason})"
        yield finding("intercept", told, BASE_URL)
    refused = {refusal.host for refusal in seen.refusals}
    for host, traffic in seen.tunnels.items():
        if traffic.reason and host not in refused:
            fix = next((fix for word, fix in FIXES.items() if word in traffic.reason), BASE_URL)
            yield finding("intercept", f"{host} is not decrypted: {traffic.reason}", fix)


def check_folders(paths: Paths) -> Iterator[Finding]:
    """They can be written, and nobody else reads them."""
    folders = dict.fromkeys((paths.config, paths.data, paths.state, paths.cache))
    troubles = [trouble for folder in folders for trouble in _folder_troubles(folder)]
    yield from troubles
    open_files = [file for folder in (paths.data, paths.state) for file in _readable_by_others(folder)]
    if open_files:
        shown = ", ".join(map(str, open_files[:3])) + (" …" if len(open_files) > 3 else "")
        yield finding("folders", f"others may read {shown}", f"chmod go-rwx {open_files[0]}")
    if not troubles and not open_files:
        yield good("folders", f"private and writable: {paths.data}, {paths.state}")


def _folder_troubles(folder: Path) -> Iterator[Finding]:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        yield finding("folders", f"{existing} is a file where a folder should be", "move it away")
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield finding("folders", f"{existing} may not be written", "set HELI_HOME to a folder that may")


def _readable_by_others(folder: Path) -> list[Path]:
    """What others may read in a folder that they may enter; certificates are for everybody."""
    try:
        if not folder.stat().st_mode & 0o011:
            return []
    except OSError:
        return []
    found = [folder] if folder.stat().st_mode & 0o077 else []
    for number, file in enumerate(folder.rglob("*")):
        if number >= MOST_FILES:
            break
        try:
            status = file.lstat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077 and file.suffix != ".pem":
            found.append(file)
    return found


def check_disk(loaded: Loaded) -> Iterator[Finding]:
    folder = loaded.paths.data
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield finding("disk", f"{folder} cannot be asked for its room: {error.strerror}", "see `heli paths`")
        return
    told = f"{figures.size(free)} free for {loaded.paths.data}"
    if free < LITTLE_BYTES:
        yield finding("disk", told, "make room, or set HELI_HOME to a folder on another disk")
    else:
        yield good("disk", told)


def check_spool(loaded: Loaded) -> Iterator[Finding]:
    workers = read_spool(loaded)
    troubles = [trouble for worker in workers for trouble in _spool_troubles(worker, loaded.paths)]
    yield from troubles
    if not troubles:
        waiting = sum(worker.records for worker in workers)
        yield good("spool", f"{waiting:,} waiting, nothing dropped")


def _spool_troubles(worker: WorkerSpool, paths: Paths) -> Iterator[Finding]:
    name = worker.worker
    if worker.trouble:
        yield finding("spool", f"{name}: {worker.trouble}", "mend that; what is in it is stored then")
    if worker.oldest_s is not None and worker.oldest_s > LAG_S:
        age = figures.duration(worker.oldest_s * 1000)
        yield finding(
            "spool",
            f"{name}: {worker.records:,} calls wait to be stored, the oldest for {age}",
            "`heli status` says what does not answer",
        )
    if worker.dropped_records or worker.dropped_bodies:
        told = f"{name}: {worker.dropped_records:,} calls and {worker.dropped_bodies:,} bodies had no room"
        yield finding("spool", told, "make room on the disk, or raise spool.max_bytes")
    if worker.lost_records or worker.lost_bytes:
        told = f"{name}: {worker.lost_records:,} records were damaged on the disk"
        yield finding("spool", told, "look at the disk's health")
    if worker.dead_letters:
        told = f"{name}: {worker.dead_letters:,} calls were refused by the backend"
        yield finding("spool", told, f"they are kept, with the reason, in {paths.dead_letters / name}")


def check_authority(paths: Paths) -> Iterator[Finding]:
    from heli.proxy.intercept import authority

    if not (paths.authority / authority.CERTIFICATE).exists():
        yield note("authority", "there is none yet; it is made when it is first needed")
        return
    current = authority.current(paths)
    if unreached := authority.unreached(paths, current):
        yield finding("authority", tell_unreached(unreached), "heli ca rotate")
    else:
        yield good(
            "authority", f"may sign for {len(current.permitted)} names until {current.ends_at:%Y-%m-%d}"
        )


def check_clock(loaded: Loaded) -> Iterator[Finding]:
    """Against the newest thing that this machine itself has written."""
    now = datetime.datetime.now(datetime.UTC)
    newest = _newest_write(loaded.paths.state)
    if now < EARLIEST:
        yield finding("clock", f"it says {now:%Y-%m-%d}, which is long ago", "set the clock")
    elif newest and newest > now + datetime.timedelta(minutes=5):
        yield finding("clock", f"it is behind: a file is of {newest:%Y-%m-%d %H:%M} UTC", "set the clock")
    else:
        yield good("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _newest_write(folder: Path) -> datetime.datetime | None:
    try:
        times = [file.stat().st_mtime for file in folder.iterdir()]
    except OSError:
        return None
    return datetime.datetime.fromtimestamp(max(times), datetime.UTC) if times else None

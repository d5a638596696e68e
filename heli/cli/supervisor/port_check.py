"""Whether the ports are free, and who holds those that are not."""

import contextlib
import errno
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from heli.cli.supervisor.services import Service
from heli.schema.errors import ConflictError, UsageError
from heli.schema.setting_checks import how_to_set

LISTENING = "0A"
"""The state LISTEN in /proc/net/tcp, proc(5)."""


def check_ports(services: list[Service], origins: Mapping[str, str]) -> None:
    """Raise `ConflictError` for the first port that somebody holds.

    `origins` tells where each setting came from, as in `Loaded`.
    """
    for service in services:
        hosts = {probe.port: probe.host for probe in service.probes}
        for setting, port in service.ports.items():
            if not is_free(hosts.get(port, "127.0.0.1"), port):
                raise port_conflict(setting, port, origins)


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise UsageError(
                f"heli cannot listen on {host} port {port}: {error.strerror}",
                "set another host or port; `heli config --origin` tells where they were set",
            ) from error
    return True


def port_conflict(setting: str, port: int, origins: Mapping[str, str]) -> ConflictError:
    """That somebody else holds the port of a setting below `ports`."""
    name, other = f"ports.{setting}", port + 10_000 if port < 55_000 else 18_000
    return ConflictError(
        f"port {port} ({name}) is taken by {holder_of(port) or 'another program'}",
        f"stop that, or choose another: {how_to_set(name, other, origins.get(name, ''))}",
    )


def holder_of(port: int) -> str:
    """`python3 (pid 123)`; empty when the system does not tell us."""
    pid = _find_pid_in_proc(port) if sys.platform == "linux" else _find_pid_with_lsof(port)
    return f"{_name_of(pid)} (pid {pid})" if pid else ""


def _find_pid_in_proc(port: int) -> int | None:
    inodes = set(_listening_inodes(port))
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # Of another user, or gone.
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        return int(process.name)
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for row in Path(table).read_text().splitlines()[1:]:
                fields = row.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{fields[9]}]"


def _find_pid_with_lsof(port: int) -> int | None:
    lsof = shutil.which("lsof")
    if not lsof:
        return None
    command = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    first = answer.stdout.split()[:1]
    return int(first[0]) if first else None


def _name_of(pid: int) -> str:
    """The program's name; for an interpreter, also what it runs."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        name = Path(words[0]).name
        script = next((word for word in words[1:] if word and not word.startswith("-")), "")
        script = "" if "-c" in words[1:] or "-e" in words[1:] else script  # it is a text, of many lines
        is_interpreter = name.startswith(("python", "node", "ruby", "perl", "java"))
        return f"{name} {Path(script).name}" if is_interpreter and script else name or "a program"
    return "a program"

"""What a process holds, read from /proc: memory and its peak, open files, threads; and its children."""

from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a process."""

    rss_bytes: int
    peak_bytes: int
    """The most since the process began or `forget_peak` was called."""
    open_files: int
    sockets: int
    threads: int


def read(pid: int) -> Reading:
    """Raises `FileNotFoundError` or `ProcessLookupError` when the process has ended."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    links = [_target(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return Reading(
        rss_bytes=_kib(fields["VmRSS"]),
        peak_bytes=_kib(fields["VmHWM"]),
        open_files=len(links),
        sockets=sum(link.startswith("socket:") for link in links),
        threads=int(fields["Threads"]),
    )


def forget_peak(pid: int) -> int:
    """Start measuring the peak anew; return the memory held now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return read(pid).rss_bytes


def _kib(value: str) -> int:
    return int(value.split()[0]) * 1024


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed while we looked
        return ""


def children(pid: int) -> dict[int, str]:
    """`{pid: command line}` of the direct children."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes()
            except FileNotFoundError:
                continue
            found[int(child)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    found = [pid]
    for one in found:
        try:
            found += children(one)
        except FileNotFoundError:
            continue
    return found

"""The files into which the processes' standard error goes: private, and bounded."""

import os
import shutil
from pathlib import Path

from heli.schema.paths import make_private

MAX_BYTES = 8 * 1024 * 1024
KEPT = 2
"""Older logs: `gateway.log.1` and `gateway.log.2`."""


def open_log(folder: Path, name: str) -> tuple[Path, int]:
    """The log of a process that starts, as a path and a descriptor to append to.

    Where the disk has no room for it the process does without: it must run all the same.
    """
    file = folder / f"{name}.log"
    try:
        make_private(folder)
        bound(file, MAX_BYTES // 2)
        return file, os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError:
        return file, os.open(os.devnull, os.O_WRONLY)


def bound(file: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move a log that has grown too long out of the way of its writer, who goes on in the emptied file.

    What is written between the copy and the cut is lost; it is a log, and the disk must not fill.
    """
    if not file.exists() or file.stat().st_size <= max_bytes:
        return
    for number in range(KEPT, 1, -1):
        older = file.with_name(f"{file.name}.{number - 1}")
        if older.exists():
            older.replace(file.with_name(f"{file.name}.{number}"))
    first = file.with_name(f"{file.name}.1")
    try:
        shutil.copyfile(file, first)
        first.chmod(0o600)
    except OSError:  # No room for a copy: all the more reason to cut.
        first.unlink(missing_ok=True)
    os.truncate(file, 0)


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def last_complaint(file: Path, after: int = 0) -> tuple[str, str]:
    """The last `heli: message` of a log with its hint line; empty when there is none behind `after`."""
    lines = _tail(file, after).splitlines()
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith("heli: "):
            below = lines[number + 1 : number + 2]
            hint = below[0].strip() if below and below[0].startswith("      ") else ""
            return lines[number].removeprefix("heli: "), hint
    return "", ""


def _tail(file: Path, after: int, max_bytes: int = 16_384) -> str:
    if not file.exists():
        return ""
    with file.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0 if end < after else after, end - max_bytes))
        return stream.read().decode(errors="replace")

"""A run: one program that `heli run` started, and what its calls are tagged with.

`heli run` writes a run down before it starts the program; the interceptor reads it when a call comes in
whose proxy user name, or whose process, belongs to it.
"""

import os
import re
from pathlib import Path

import msgspec

from heli.schema.paths import make_private

_ID = re.compile(r"run-[0-9a-z]{4,40}")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a program under `heli run`."""

    id: str
    """`run-…`; also the user name in the proxy URL that the program is given."""
    pid: int
    """Of `heli run` itself; the program and its children descend from it."""
    started_ns: int
    """Nanoseconds since 1970 UTC."""
    session_id: str
    session_name: str = ""
    user_id: str = ""
    properties: dict[str, str] = {}
    """Working directory, git branch and commit, command, and what `--property` added."""


def run_file(folder: Path, run_id: str) -> Path:
    """Where a run is written down. Raises `ValueError` for what is not a run's id."""
    if not _ID.fullmatch(run_id):
        raise ValueError(f"{run_id!r} is not the id of a run")
    return folder / f"{run_id}.json"


def write_run(folder: Path, run: Run) -> Path:
    """Write a run down, whole or not at all, in a file of mode 0600."""
    file = run_file(make_private(folder), run.id)
    draft = file.with_name(f".{file.name}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(run))
    draft.replace(file)
    return file


def read_run(folder: Path, run_id: str) -> Run | None:
    """A run by its id; `None` when there is none, or its file cannot be read."""
    try:
        return msgspec.json.decode(run_file(folder, run_id).read_bytes(), type=Run)
    except (OSError, ValueError):
        return None

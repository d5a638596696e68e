"""A run made: its id, its session, and what its calls are tagged with. Old runs are forgotten."""

import getpass
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from heli.cli.runs.command_text import mask_command, name_of
from heli.cli.runs.git_facts import read_git
from heli.schema.errors import UsageError
from heli.schema.run import Run, read_run

MOST_RUNS = 500
"""Files of runs that ended; those of running ones stay in any case."""
OLD_S = 30 * 24 * 3600
MOST_LOOKED_AT = 5_000
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LONGEST = 1_000
RUN = "run"
"""The property that holds a run's id; of one inside another, with the ids of the outer ones before it."""


def make_run(
    command: Sequence[str],
    environ: Mapping[str, str],
    runs: Path,
    *,
    session: str = "",
    user: str = "",
    properties: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Run:
    """A run of this process. One inside another keeps the outer one's session unless `session` names one."""
    outer = read_run(runs, environ.get("HELI_RUN_ID", ""))
    run_id = f"run-{secrets.token_hex(8)}"
    session_id, session_name = _session(session, environ, outer, command, run_id)
    return Run(
        id=run_id,
        pid=os.getpid(),
        started_ns=time.time_ns(),
        session_id=session_id,
        session_name=session_name,
        user_id=user or (outer.user_id if outer else "") or _login_name(),
        properties=_properties(command, folder, outer, run_id) | dict(properties or {}),
    )


def read_properties(words: Sequence[str]) -> dict[str, str]:
    """`k=v` each. Names are in lower case, as they travel as headers. Raises `UsageError`."""
    found = {}
    for word in words:
        name, has_value, value = word.partition("=")
        if not has_value or not _PROPERTY.fullmatch(name):
            raise UsageError(
                f"--property {word!r} is not NAME=VALUE", "names have letters, digits, '.', '_' and '-'"
            )
        found[name.lower()] = _one_line(value)
    return found


def _session(
    asked: str, environ: Mapping[str, str], outer: Run | None, command: Sequence[str], run_id: str
) -> tuple[str, str]:
    """`(id, name)`."""
    if asked:
        return _one_line(asked), _one_line(asked)
    if kept := environ.get("HELI_SESSION", ""):
        return _one_line(kept), outer.session_name if outer and outer.session_id == kept else kept
    name = _one_line(name_of(command))
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-")[:40] or "run"
    return f"{slug}-{run_id[-6:]}", name


def _properties(
    command: Sequence[str], folder: Path | None, outer: Run | None, run_id: str
) -> dict[str, str]:
    outer_ids = outer.properties.get(RUN, "") if outer else ""
    found = {RUN: f"{outer_ids}/{run_id}" if outer_ids else run_id, "command": mask_command(command)}
    folder = folder or _working_folder()
    if folder:
        git = read_git(folder)
        found |= {"directory": str(folder), "branch": git.branch, "commit": git.commit}
    return {name: _one_line(value) for name, value in found.items() if value}


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # It was removed under us.
        return None


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def _one_line(text: str) -> str:
    """A header's value: no line ends, no NUL, not too long."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()[:_LONGEST]


def forget_old_runs(runs: Path, now_s: float | None = None) -> None:
    """Remove the files of runs that ended long ago, or that are too many. Never raises."""
    now_s = time.time() if now_s is None else now_s
    try:
        with os.scandir(runs) as entries:
            found = [
                (entry.stat().st_mtime, Path(entry.path))
                for entry, _ in zip(entries, range(MOST_LOOKED_AT), strict=False)
            ]
    except OSError:
        return
    found.sort(reverse=True)
    for place, (changed_at, file) in enumerate(found):
        is_old = now_s - changed_at > OLD_S
        if (is_old or place >= MOST_RUNS) and not _is_running(file):
            file.unlink(missing_ok=True)


def _is_running(file: Path) -> bool:
    run = read_run(file.parent, file.stem) if file.suffix == ".json" else None
    if run is None:
        return False
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

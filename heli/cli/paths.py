"""`heli paths`: where heli keeps its files."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from heli.cli.printable import line
from heli.cli.sink import encode
from heli.schema.paths import Paths


def paths(
    as_json: Annotated[bool, typer.Option("--json", help="Print them as one JSON object.")] = False,
) -> None:
    """Tell where heli keeps its files.

    \b
    Examples:
      heli paths
      HELI_HOME=/tmp/try heli paths          HELI_HOME moves them all
      tail -f "$(heli paths --json | jq -r .logs)"/gateway.log
    """
    found = list_paths(Paths.from_environ(os.environ))
    if as_json:
        sys.stdout.write(encode({name: str(path) for name, path in found.items()}).decode() + "\n")
        return
    width = max(len(name) for name in found) + 2
    for name, path in found.items():
        lead = name.ljust(width) if sys.stdout.isatty() else f"{name}\t"
        sys.stdout.write(f"{lead}{line(str(path))}\n")


def list_paths(paths: Paths) -> dict[str, Path]:
    return {
        "config": paths.config_file,
        "prices": paths.prices_file,
        "data": paths.data,
        "database": paths.database,
        "store": paths.request_log,
        "bodies": paths.bodies,
        "spool": paths.spool,
        "dead_letters": paths.dead_letters,
        "state": paths.state,
        "logs": paths.logs,
        "processes": paths.processes,
        "cache": paths.cache,
    }

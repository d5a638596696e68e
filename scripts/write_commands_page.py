"""Writes the reference in docs/commands.md: what heli itself says of each command.

`make docs` runs it; `tests/test_docs.py` fails when the page is behind.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
COLUMNS = 100

MARK = "<!-- what follows is written by `make docs` -->\n"


def write() -> str:
    """The page as it should be: what stands above the mark stays."""
    from heli.cli.commands import COMMANDS

    sections = [PAGE.read_text().partition(MARK)[0] + MARK]
    for section in dict.fromkeys(command.section for command in COMMANDS.values()):
        sections.append(f"## {section}\n")
        for name, command in COMMANDS.items():
            if command.section == section:
                sections += [
                    f"### heli {' '.join(path)}\n\n```\n{explain(path)}```\n" for path in paths_of(name)
                ]
    return "\n".join(sections)


def paths_of(name: str) -> Iterator[list[str]]:
    """The command and those below it."""
    from heli.cli.root import load_command

    yield [name]
    for below in getattr(load_command(name), "commands", {}):
        yield [name, below]


def explain(path: list[str]) -> str:
    """What `--help` says."""
    from heli.cli.main import run

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        run([*path, "--help"])
    lines = [line.rstrip() for line in said.getvalue().strip("\n").splitlines()]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    os.environ["COLUMNS"] = str(COLUMNS)
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(write())
    else:
        PAGE.write_text(write())

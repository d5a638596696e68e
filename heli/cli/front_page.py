"""The first pages that a person sees: bare `heli`, `heli --help` and `heli --version`.

They are told without loading Typer, because they are what people wait for most impatiently.
"""

from collections.abc import Sequence

from heli import __version__
from heli.cli.commands import COMMANDS

SHORT = """\
heli shows every call that your programs make to a language model.

  heli run -- claude   see the calls of a program, whatever it is
  heli logs --tail     watch the calls as they happen
  heli show @last      read the newest one

`heli --help` lists every command.
"""

INTRODUCTION = """\
heli shows every call that your programs make to a language model: what was
asked, what came back, how long it took, what it cost, and which session it
belonged to.

Examples:
  heli up                                    start everything on this machine
  heli run -- claude                         see every call of a program
  OPENAI_BASE_URL=http://localhost:8787/v1 python app.py  or swap a base URL
  heli logs --tail                           watch them
  heli logs 'status>=400' --since today      what went wrong today
  heli show @last                            the newest call in full
  heli costs --by model,day --since 7d       what it came to

Usage: heli [OPTIONS] COMMAND [ARGS]...
"""

OPTIONS = """\
Options:
  --color auto|always|never  auto heeds NO_COLOR, FORCE_COLOR and CLICOLOR.
  -v, --verbose              Tell more on standard error; -vv adds tracebacks.
  --version                  Print the version.
  -h, --help                 Print this page.

`heli help COMMAND`, `heli help filters` and `heli help exit-codes` tell more.
"""


def answer(arguments: Sequence[str]) -> str | None:
    """The page that these arguments ask for; `None` when they ask for a command."""
    match list(arguments):
        case []:
            return SHORT
        case ["--help" | "-h"] | ["help"]:
            return full_page()
        case ["--version"]:
            return f"heli {__version__}\n"
    return None


def full_page() -> str:
    sections = dict.fromkeys(command.section for command in COMMANDS.values())
    listed = "\n".join(_section(section) for section in sections)
    return f"{INTRODUCTION}\n{listed}\n{OPTIONS}"


def _section(section: str) -> str:
    lines = [
        f"  {name:<14}{command.summary}\n" for name, command in COMMANDS.items() if command.section == section
    ]
    return f"{section}:\n{''.join(lines)}"

"""`heli env`: the kit of `heli run` for a whole shell, which gets on without heli when it has to."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from heli.cli.commands import suggest
from heli.cli.run import make_own_kit
from heli.cli.runs.before import changes_back, without_kit
from heli.cli.runs.shell_code import SHELLS, Guarded, write_off, write_on
from heli.cli.sink import encode
from heli.cli.terminal import say
from heli.schema.errors import ExitCode, UnreachableError, UsageError
from heli.schema.run import Run
from heli.schema.settings import Loaded, load_settings

ALIASES = {"pwsh": "powershell", "dash": "sh", "ash": "sh", "ksh": "sh"}


def env(
    shell: Annotated[
        str,
        typer.Option(metavar="SHELL", help="bash, zsh, fish, powershell or sh; by default yours."),
    ] = "",
    session: Annotated[
        str, typer.Option(metavar="NAME", help="Put the calls into this session; a new one by default.")
    ] = "",
    java: Annotated[
        bool, typer.Option("--java", help="Set JAVA_TOOL_OPTIONS too; each JVM prints a line about it.")
    ] = False,
    unset: Annotated[bool, typer.Option("--unset", help="Put everything back as it was.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the variables as JSON; null for one to unset.")
    ] = False,
) -> int:
    """Print what makes a shell send its calls through heli, for `eval`.

    \b
    Examples:
      eval "$(heli env)"                               in bash and zsh
      heli env --shell fish | source
      heli env --shell powershell | Out-String | Invoke-Expression
      eval "$(heli env --unset)"

    Variables that are set already are kept or merged. At each prompt the shell looks whether heli answers:
    when it does not, the variables are as they were before, and when it does again, they come back.
    """
    name = find_shell(shell, os.environ)
    if unset:
        return _put_back(name, as_json)
    from heli.cli.runs.running_heli import answers, intercept_address

    loaded = load_settings()
    host, port = intercept_address(loaded.settings)
    is_on = answers(host, port)
    if not is_on and (as_json or name == "sh"):
        raise UnreachableError("heli is not running", "`heli up -d` starts it")
    original = without_kit(os.environ)
    kit = _make_kit(loaded, original, session, java)
    if as_json:
        _print_json(kit)
        return ExitCode.OK
    before = {variable: original.get(variable) for variable in kit}
    guarded = Guarded(kit=kit, before=before, host=host, port=port, is_on=is_on)
    sys.stdout.write(write_on(name, guarded))
    if not is_on:
        say("heli: it does not run; this shell is captured as soon as it does (`heli up -d`)")
    elif sys.stdout.isatty():
        say('heli: this is for a shell to read: eval "$(heli env)"')
    return ExitCode.OK


def find_shell(asked: str, environ: Mapping[str, str]) -> str:
    """The shell to write for. Raises `UsageError` for one that is not known."""
    name = Path(asked or environ.get("SHELL", "") or "sh").name.removesuffix(".exe")
    name = ALIASES.get(name, name)
    if name in SHELLS:
        return name
    if asked:
        known = ", ".join(SHELLS)
        raise UsageError(
            f"there is no code for {asked!r}{suggest(asked, list(SHELLS))}", f"choose from {known}"
        )
    return "sh"


def _make_kit(loaded: Loaded, original: Mapping[str, str], session: str, java: bool) -> dict[str, str]:
    import msgspec

    from heli.cli.runs.making import forget_old_runs, make_run
    from heli.schema.run import write_run

    runs = loaded.paths.runs
    made: Run = make_run(["shell"], original, runs, session=session)
    made = msgspec.structs.replace(made, pid=os.getppid())
    _, kit = make_own_kit(loaded, made, original, java)
    write_run(runs, made)
    forget_old_runs(runs)
    return kit


def _put_back(shell: str, as_json: bool) -> int:
    changes = changes_back(os.environ)
    if as_json:
        _print_json(changes)
        return ExitCode.OK
    sys.stdout.write(write_off(shell, changes))
    if not changes:  # The guard may be there all the same, waiting for heli to answer.
        say("heli: no variable to put back")
    return ExitCode.OK


def _print_json(values: Mapping[str, str | None]) -> None:
    sys.stdout.write(encode(dict(values)).decode() + "\n")

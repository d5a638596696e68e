"""`heli completion`: the script that teaches a shell heli's commands and options."""

import sys
from typing import Annotated

import typer

from heli.cli.commands import suggest
from heli.cli.completed_values import one_of
from heli.cli.main import COMPLETION
from heli.schema.errors import UsageError

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def completion(
    shell: Annotated[
        str,
        typer.Argument(
            metavar="SHELL",
            help="bash, zsh, fish, powershell or pwsh.",
            autocompletion=one_of(*SHELLS),
        ),
    ],
) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      eval "$(heli completion bash)"          in ~/.bashrc
      heli completion zsh > ~/.zfunc/_heli    with fpath+=~/.zfunc before compinit
      heli completion fish > ~/.config/fish/completions/heli.fish
    """
    from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]

    if shell not in SHELLS:
        raise UsageError(
            f"there is no completion for {shell!r}{suggest(shell, list(SHELLS))}",
            f"choose from {', '.join(SHELLS)}",
        )
    completion_init()
    script = get_completion_script(prog_name="heli", complete_var=COMPLETION, shell=shell)
    sys.stdout.write(script + "\n")

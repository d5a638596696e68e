"""The command root: a Typer group that imports a command's module when it is called."""

import importlib
import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from heli import __version__
from heli.cli.commands import COMMANDS, TAKE_FILTER, suggest
from heli.cli.filter_words import FilterCommand
from heli.cli.front_page import full_page
from heli.cli.light_params import lighten
from heli.cli.main import COMPLETION
from heli.cli.options import ColorOption
from heli.cli.terminal import wish_verbosity
from heli.cli.wrong_words import reworded
from heli.schema.errors import HeliError, UsageError

HELP_NAMES = ["-h", "--help"]
CONTEXT = {"help_option_names": HELP_NAMES, "max_content_width": 100}


class LazyGroup(TyperGroup):
    """Knows its commands from the table; loads one when it is asked for."""

    # Typer's own type for `ctx` is private, hence Any.
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise UsageError(
                f"there is no command {name!r}{suggest(name, list(COMMANDS))}", "`heli --help` lists them all"
            )
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(full_page())


def make_app(**options: Any) -> typer.Typer:
    """A Typer as heli wants them: plain help, no tracebacks of its own."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
        **options,
    )


def load_command(name: str) -> Any:
    """Import a command and make it what Typer runs."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    target = getattr(importlib.import_module(f"heli.cli.{module}"), attribute)
    app = target
    if not isinstance(target, typer.Typer):
        app = make_app()
        kind = FilterCommand if name in TAKE_FILTER else None
        app.command(name, cls=kind, context_settings=CONTEXT)(target)
    command = lighten(typer.main.get_command(app), HELP_NAMES)
    command.name = name
    return command


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"heli {__version__}")
        raise typer.Exit


root = make_app(cls=LazyGroup, no_args_is_help=False)


@root.callback()
def options(
    color: ColorOption = None,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Tell more; -vv adds tracebacks.")
    ] = 0,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    wish_verbosity(verbose)


def invoke(arguments: Sequence[str]) -> int:
    """Run a command line; the exit code is what the command returned, else 0."""
    command = lighten(typer.main.get_command(root), HELP_NAMES)
    if COMPLETION in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    try:
        result = command.main(args=list(arguments), prog_name="heli", standalone_mode=False)
    except typer.TyperException as error:
        if error.exit_code != UsageError.exit_code:
            raise HeliError(error.format_message()) from error
        raise reworded(error, arguments) from error
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    return result if isinstance(result, int) else 0

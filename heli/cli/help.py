"""`heli help`: help on a command or a topic, and the tree of all commands for programs."""

import sys
from typing import Annotated, Any

import typer

from heli.cli.commands import COMMANDS, suggest
from heli.cli.completed_values import help_topic
from heli.cli.front_page import full_page
from heli.cli.printable import beside
from heli.cli.sink import encode
from heli.schema.errors import ExitCode, UsageError

HELP_WIDTH = 80
TOPICS = ("exit-codes", "filters")
MEANINGS = {
    ExitCode.OK: "success; also when a reader such as `head` has left",
    ExitCode.FAILURE: "it failed; the message says why",
    ExitCode.USAGE: "wrong usage: an unknown flag, a filter or a setting that cannot be read",
    ExitCode.NOT_FOUND: "not found, or nothing matched with --exit-status",
    ExitCode.DENIED: "authentication or permission is missing",
    ExitCode.CONFLICT: "somebody else holds it: a port, a folder, a name",
    ExitCode.UNREACHABLE: "heli does not run, or does not answer",
    ExitCode.CHECK_FAILED: "a check failed: a gate, a budget, a finding",
    ExitCode.TIMED_OUT: "it took too long",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}


def help_on(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND|exit-codes|filters", help="What to explain.", autocompletion=help_topic
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The tree of all commands, for programs.")] = False,
) -> int:
    """Explain a command or a topic.

    \b
    Examples:
      heli help logs
      heli help filters
      heli help exit-codes
      heli help --json | jq '.commands[].name'
    """
    if as_json:
        sys.stdout.write(encode(command_tree()).decode() + "\n")
        return ExitCode.OK
    match words or []:
        case []:
            sys.stdout.write(full_page())
        case ["exit-codes"]:
            sys.stdout.write(exit_codes())
        case ["filters"]:
            sys.stdout.write(filters())
        case [name, *rest] if name in COMMANDS:
            from heli.cli.root import invoke

            _check_words(name, rest)
            return invoke([name, *rest, "--help"])
        case [name, *_]:
            known = [*COMMANDS, *TOPICS]
            raise UsageError(
                f"there is no help on {name!r}{suggest(name, known)}", f"topics: {', '.join(TOPICS)}"
            )
    return ExitCode.OK


def _check_words(name: str, words: list[str]) -> None:
    """All must be commands below `name`: others it might take for a program to run. Raises `UsageError`."""
    from heli.cli.root import load_command

    command: Any = load_command(name)
    for word in words:
        below = getattr(command, "commands", {})
        if word not in below:
            asked = " ".join([name, *words])
            raise UsageError(
                f"there is no help on {asked!r}{suggest(word, [*below])}", f"try heli help {name}"
            )
        command = below[word]


def exit_codes() -> str:
    lines = [f"  {code.value:>3}  {MEANINGS[code]}\n" for code in ExitCode]
    return f"What a command's exit code says:\n\n{''.join(lines)}"


def filters() -> str:
    """The filter language, from the table that its parser uses."""
    from heli.schema.filter import FIELDS

    rows = [
        beside(f"  {field.name:<14} ", field.description, HELP_WIDTH) + f"  {'':<14} {field.example}\n"
        for field in FIELDS
        if field.is_set
    ]
    return f"{GRAMMAR}\nFields, each with an example:\n\n{''.join(rows)}"


GRAMMAR = """\
One filter language: in `heli logs`, `heli costs`, `heli reprice`, the REST API.

  heli logs 'model:gpt-4o* status>=400'         terms side by side must all hold
  heli logs 'user:alice OR user:bob'            one of them
  heli logs '-model:gpt* (cost>0.01 OR took>10s)'
  heli logs 'provider:anthropic,openai'         any of several values
  heli logs '"refund policy" since:2h'          words in question or reply
  heli logs 'cost:unknown'                      what has no known value
  heli logs 'prop.env:prod'                     a property that the caller set

  field:value   equal; * stands for any text    field>1k  field<=2.5s   compares
  -term, not term   the opposite                ( )   groups

Quote the whole filter, so that the shell leaves >, *, ( and " alone.
"""


def command_tree() -> dict[str, Any]:
    """`{"name", "version", "commands": [{"name", "summary", "help", "parameters", "commands"}…]}`."""
    from heli import __version__
    from heli.cli.root import load_command

    return {
        "name": "heli",
        "version": __version__,
        "commands": [
            {"summary": command.summary} | _describe(load_command(name), name)
            for name, command in COMMANDS.items()
        ],
        "exit_codes": {str(code.value): meaning for code, meaning in MEANINGS.items()},
    }


def _describe(command: Any, name: str) -> dict[str, Any]:
    below = getattr(command, "commands", {})
    return {
        "name": name,
        "help": (command.help or "").replace("\b\n", "").strip(),
        "parameters": [_parameter(one) for one in command.params if not getattr(one, "hidden", False)],
        "commands": [_describe(below[name], name) for name in below],
    }


def _parameter(parameter: Any) -> dict[str, Any]:
    is_option = parameter.param_type_name == "option"
    return {
        "name": parameter.name,
        "kind": parameter.param_type_name,
        "flags": [*parameter.opts, *parameter.secondary_opts] if is_option else [],
        "is_required": parameter.required,
        "is_flag": bool(getattr(parameter, "is_flag", False)),
        "takes_many": bool(getattr(parameter, "multiple", False)) or parameter.nargs == -1,
        "help": getattr(parameter, "help", None) or "",
    }

"""The commands of heli: one table from which the group, the help pages and the completion are made.

It imports nothing, so that `heli --help` and a typo are answered before anything is loaded.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """Where a command is found; its module is imported when it is called."""

    section: str
    summary: str
    target: str
    """`module:attribute` below `heli.cli`: a function, or a Typer for a command that has commands."""


COMMANDS: dict[str, Command] = {
    "up": Command("Run", "start heli on this machine", "up:up"),
    "run": Command("Run", "run a program and see its calls", "run:app"),
    "env": Command("Run", "the same for a whole shell, for eval", "env:env"),
    "down": Command("Run", "stop it; calls in flight may finish first", "down:down"),
    "restart": Command("Run", "stop it and start it again in the background", "restart:restart"),
    "status": Command("Run", "what runs, on which ports, and what waits to be stored", "status:status"),
    "serve": Command("Run", "run one process alone: gateway, intercept, backend, store", "serve:app"),
    "dead-letters": Command("Run", "calls that could not be stored: list, show, replay", "dead_letters:app"),
    "logs": Command("Look", "list calls, or follow them with --tail", "logs:logs"),
    "show": Command("Look", "one call: its conversation, tokens, cost and times", "show:show"),
    "statusline": Command(
        "Look", "one line for a prompt: today, this session, calls in flight", "statusline_command:statusline"
    ),
    "costs": Command("Look", "what was spent, by model, day, user, session, …", "costs:costs"),
    "reprice": Command(
        "Look", "price calls again, by other prices or those of another day", "reprice:reprice"
    ),
    "config": Command("Set up", "the settings, their values and where these came from", "config:app"),
    "ca": Command("Set up", "the certificate authority of the interceptor, and who trusts it", "ca:app"),
    "paths": Command("Set up", "where heli keeps its files", "paths:paths"),
    "doctor": Command(
        "Set up", "look at all that capturing depends on, and say what to mend", "doctor.command:doctor"
    ),
    "completion": Command("Set up", "print the completion script of a shell", "completion:completion"),
    "help": Command("Set up", "help on a command, the exit codes or the filters", "help:help_on"),
}
"""In the order in which help lists them."""

TAKE_FILTER = ("logs", "costs", "reprice")
"""A word that begins with a minus may be a filter's term there."""


def suggest(word: str, known: list[str]) -> str:
    """`; did you mean …?` when a word is close to a known one, else nothing."""
    from difflib import get_close_matches

    matches = get_close_matches(word, known, n=2)
    return f"; did you mean {' or '.join(repr(str(match)) for match in matches)}?" if matches else ""

"""`heli statusline` as Typer knows it: for help, completion, and command lines that are not plain."""

from typing import Annotated

import typer

from heli.cli import statusline as line


def statusline(
    format: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="What to print: {today}, {session}, {in_flight}, {session_in_flight}, {calls}, "
            "{input_tokens}, {output_tokens}.",
        ),
    ] = "",
    session: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="Whose spend {session} is; by default that of HELI_SESSION, or of the agent that asks.",
        ),
    ] = "",
    when_down: Annotated[
        str,
        typer.Option(metavar="TEXT", help="What to print while heli does not answer; nothing by default."),
    ] = "",
) -> int:
    """Print one line for a prompt: what today and this session have cost, and the calls in flight.

    \b
    Examples:
      heli statusline
      heli statusline --format '{today}' --when-down '-'
      set -g status-right '#(heli statusline)'    in ~/.tmux.conf

    \b
    In Claude Code's settings.json:
      {"statusLine": {"type": "command", "command": "heli statusline"}}

    It never waits long: what does not answer within a moment counts as down, and the exit code is 0. An
    agent that writes {"session_id": …} to standard input, as Claude Code does, is told of its own session.
    `~` marks a sum with estimates in it; `?` is unknown, as is what a session without any call has cost.
    """
    return line.answer(line.Wishes(format, session, when_down))

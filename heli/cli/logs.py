"""`heli logs`: the list of calls, or the calls as they happen."""

import datetime
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from heli.cli.backend_client import open_client
from heli.cli.filter_words import join_filter
from heli.cli.moments import read_time
from heli.cli.options import (
    ColorOption,
    FieldsOption,
    FilterArgument,
    OutputOption,
    QuietOption,
    SinceOption,
    UntilOption,
)
from heli.cli.request_rows import SHAPE, Row
from heli.cli.sink import Format, Sink, choose_format, split_fields
from heli.cli.terminal import can_redraw, say
from heli.schema.errors import ExitCode, UsageError
from heli.schema.request import Request
from heli.schema.settings import load_settings

if TYPE_CHECKING:
    from heli.client import Client

LAST = 20


def logs(
    filter: FilterArgument = None,
    tail: Annotated[
        bool, typer.Option("--tail", "--follow", "-f", help="Go on with calls as they happen, until Ctrl-C.")
    ] = False,
    every: Annotated[
        bool,
        typer.Option("--all", help="Also what runs no model: lists of models, an agent's housekeeping."),
    ] = False,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", min=0, help="How many of the newest.", show_default=f"{LAST}; with --since, all"
        ),
    ] = None,
    output: OutputOption = None,
    fields: FieldsOption = None,
    quiet: QuietOption = False,
    exit_status: Annotated[bool, typer.Option("--exit-status", help="Exit 3 when no call matches.")] = False,
    color: ColorOption = None,
) -> int:
    """List calls, the newest last, or follow them.

    \b
    Examples:
      heli logs                                       the last 20
      heli logs --tail                                and all that come
      heli logs 'model:gpt-4o* cost>0.01' --since today
      heli logs 'status>=400' -n 5 --json id,status,error_message
      heli logs user:alice -q | xargs -n1 heli show   ids for other commands

    A call in flight stands at the bottom with its clock running. In a pipe each call is a line of
    tab-separated fields, or a JSON object with -o jsonl. `?` means unknown, never zero.

    In a pipe and in CSV the fields stand in this order: created_at, id, status, outcome,
    provider, operation, model, usage.total_input_tokens, usage.cache_read_tokens,
    usage.total_output_tokens, cost_usd, cost_state, time_to_first_token_ms, duration_ms,
    session_id, session_path, agent_name, user_id, error_class, summary.
    """
    loaded = load_settings()
    format = choose_format(output, fields, quiet)
    begin, end = read_time(since, "--since"), read_time(until, "--until")
    words = join_filter(filter)
    if limit is None and (begin is None or tail):
        limit = LAST
    if tail and end:
        raise UsageError("--until and --tail contradict each other", "leave one of them out")
    with open_client(loaded) as client:
        if tail:
            from heli.cli.tail import Tail
            from heli.cli.tail_screen import open_screen

            screen = open_screen(_following_format(format, output), split_fields(fields), loaded)
            return Tail(client, words, screen, every).follow(begin, limit or 0)
        count = _list(client, words, begin, end, limit, every, Sink(SHAPE, format, split_fields(fields)))
    if not count and limit != 0 and format is Format.TABLE:
        say(
            "no call matches"
            if words or begin or end
            else "no call has been captured yet; `heli up` tells how"
        )
    return ExitCode.NOT_FOUND if exit_status and not count else ExitCode.OK


def _list(
    client: "Client",
    words: str,
    begin: datetime.datetime | None,
    end: datetime.datetime | None,
    limit: int | None,
    every: bool,
    sink: Sink[Row],
) -> int:
    """Write them, the newest last; without a limit they are written as they are read."""
    if limit is None:
        requests: Iterable[Request] = client.every_request(
            words, since=begin, until=end, order="oldest", side_calls=every
        )
    else:
        requests = reversed(
            list(client.every_request(words, since=begin, until=end, limit=limit, side_calls=every))
        )
    return sink.write_all(Row(request=request) for request in requests)


def _following_format(format: Format, output: str | None) -> Format:
    """What cannot be closed must be lines."""
    if format is Format.JSON:
        return Format.JSONL
    if format is Format.TABLE and output is None and not can_redraw(sys.stdout):
        return Format.PLAIN
    return format

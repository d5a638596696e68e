"""`heli costs`: what was spent, by whatever it is asked by."""

import datetime
import sys
from typing import Annotated, Any

import msgspec
import typer

from heli.cli import figures
from heli.cli.backend_client import open_client
from heli.cli.completed_values import SPENT_BY, several_of
from heli.cli.filter_words import join_filter
from heli.cli.moments import read_time, zone_name
from heli.cli.options import ColorOption, FilterArgument, OutputOption, SinceOption, UntilOption
from heli.cli.printable import escaped, line
from heli.cli.request_rows import session_title
from heli.cli.sink import Format, Shape, Sink, choose_format, encode, split_fields
from heli.cli.table import Cell, Column, Table
from heli.cli.terminal import say, wants_color, width
from heli.client import CostReport, CostRow, Spend
from heli.schema.settings import load_settings

FORMS = tuple(form for form in Format if form is not Format.ID)
FIGURES = Spend.__struct_fields__


def costs(
    filter: FilterArgument = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WORDS",
            help="model, provider, user, session, agent, property:NAME, hour, day, month.",
            autocompletion=several_of(*SPENT_BY),
        ),
    ] = "model",
    since: SinceOption = None,
    until: UntilOption = None,
    output: OutputOption = None,
    fields: Annotated[
        str | None,
        typer.Option("--json", metavar="FIELDS", help="JSON rows with only these fields: model,cost_usd"),
    ] = None,
    color: ColorOption = None,
) -> None:
    """Tell what was spent, by model, day, user, session, or a property.

    \b
    Examples:
      heli costs                                     by model, all time
      heli costs --by model,day --since 7d
      heli costs --by user 'model:claude*' --since 2026-11-01
      heli costs --by property:team -o csv > november.csv
      heli costs --by day --json day,cost_usd        no total; -o json has it

    Calls whose price or usage is not known are counted in the column `unpriced`; they are in no sum.
    Days and hours are those of this machine's time zone.

    In a pipe and in CSV the fields stand in this order: those of --by, requests, cost_usd,
    unknown_cost_requests, estimated_cost_requests, input_tokens, cache_read_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens. In JSON a session has its session_name, too.
    """
    form = choose_format(output, fields, allowed=FORMS)
    begin, end = read_time(since, "--since"), read_time(until, "--until")
    asked = join_filter(filter)
    words = [word for word in by.replace(" ", ",").split(",") if word]
    with open_client(load_settings()) as client:
        report = client.costs(words, asked, since=begin, until=end, time_zone=zone_name())
    if form is Format.TABLE:
        _print(report)
    elif form is Format.JSON and not fields:
        sys.stdout.write(escaped(encode(_tree(report)).decode()) + "\n")
    else:
        Sink(_shape(report.by), form, split_fields(fields)).write_all(report.rows)


def _tree(report: CostReport) -> dict[str, Any]:
    return {"by": report.by, "rows": [_row_tree(row) for row in report.rows], "total": report.total}


def _row_tree(row: CostRow) -> dict[str, Any]:
    named = {"session_name": row.session_name} if "session" in row.keys else {}
    return {**row.keys, **named, **msgspec.structs.asdict(row.spend)}


def _shape(by: list[str]) -> Shape[CostRow]:
    flat = [*by, *FIGURES]
    known = [*flat, *(["session_name"] if "session" in by else [])]
    return Shape(columns=_columns(by), tree=_row_tree, flat=flat, known=lambda: dict.fromkeys(known))


def _columns(by: list[str]) -> list[Column[CostRow]]:
    keys = [Column[CostRow](word, _key(word), width=10, most=32) for word in by]
    return [
        *keys,
        _figure("calls", "requests", rank=3),
        _figure("in", "input_tokens", rank=4),
        _figure("cached", "cache_read_tokens", rank=5),
        _figure("written", "cache_write_tokens", rank=7),
        _figure("out", "output_tokens", rank=4),
        _figure("reasoning", "reasoning_tokens", rank=6),
        Column("cost", _cost, is_right=True, width=8),
        _figure("unpriced", "unknown_cost_requests", rank=2),
    ]


def _key(word: str) -> Any:
    def show(row: CostRow) -> Cell:
        value = line(row.keys.get(word, ""))
        if word == "hour" and value:
            value = _hour(value)
        elif word == "session" and value:
            value = line(session_title(row.session_name, value, ""))
        return Cell(value or f"(no {word.removeprefix('property:')})", "" if value else "dim")

    return show


def _hour(text: str) -> str:
    """`11-26 14:00`, in this machine's time zone; with the year when that is another."""
    try:
        told = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    return figures.day_and_time(told, datetime.datetime.now().astimezone().date())


def _figure(title: str, field: str, rank: int) -> Column[CostRow]:
    return Column(title, lambda row: Cell(figures.count(getattr(row.spend, field))), is_right=True, rank=rank)


def _cost(row: CostRow) -> Cell:
    return Cell(figures.about(row.spend.cost_usd, row.spend.estimated_cost_requests > 0), "strong")


def _print(report: CostReport) -> None:
    if not report.total.requests:
        say("no call matches")
        return
    columns = width() if sys.stdout.isatty() else 10_000
    total = CostRow(keys={report.by[0]: "total"} if report.by else {}, spend=report.total)
    shown = _columns(report.by)
    for place, word in enumerate(report.by):
        shown[place] = shown[place]._replace(show=_key_or_total(word, total, is_first=place == 0))
    table = Table(shown, wants_color(sys.stdout))
    table.learn([*report.rows, total])
    for text in [table.head(columns), *(table.line(row, columns) for row in report.rows)]:
        sys.stdout.write(text + "\n")
    sys.stdout.write("\n" + table.line(total, columns) + "\n")
    _explain(report)


def _key_or_total(word: str, total: CostRow, is_first: bool) -> Any:
    show = _key(word)
    return lambda row: show(row) if row is not total else Cell("total" if is_first else "", "strong")


def _explain(report: CostReport) -> None:
    """What the sums do not tell."""
    if unpriced := report.total.unknown_cost_requests:
        have, them = ("has", "it") if unpriced == 1 else ("have", "them")
        told = f"{figures.counted(unpriced, 'call')} {have} no known cost and"
        say(f"{told} {'is' if unpriced == 1 else 'are'} in no sum; `heli logs cost:unknown` lists {them}")
    if estimated := report.total.estimated_cost_requests:
        said = "is an estimate" if estimated == 1 else "are estimates"
        say(f"{figures.counted(estimated, 'cost')} {said}, with tokens counted by heli")

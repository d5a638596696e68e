"""The options that several commands share, so that they mean the same everywhere."""

from typing import Annotated

import typer

from heli.cli.completed_values import MOMENTS, one_of
from heli.cli.terminal import Color, wish_color


def _wish_color(color: Color | None) -> Color | None:
    if color is not None:
        wish_color(color)
    return color


ColorOption = Annotated[
    Color | None,
    typer.Option("--color", help="When to use colours; auto heeds NO_COLOR.", callback=_wish_color),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FORMAT",
        help="table, plain, json, jsonl, csv or, where rows have one, id; the default is a table on a "
        "terminal and plain, tab-separated lines in a pipe.",
        autocompletion=one_of("table", "plain", "json", "jsonl", "csv", "id"),
    ),
]
FieldsOption = Annotated[
    str | None,
    typer.Option("--json", metavar="FIELDS", help="JSON with only these fields: id,model,usage.input_tokens"),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Ids only, one on each line.")]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only from then on: 2h, today, yesterday, 14:30, 2026-11-18.",
        autocompletion=one_of(*MOMENTS),
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="TIME",
        help="Only before then; written like --since.",
        autocompletion=one_of(*MOMENTS),
    ),
]
FilterArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILTER", help="model:gpt-4o* status>=400 cost>0.01 …; see `heli help filters`."),
]

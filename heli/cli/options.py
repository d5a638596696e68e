"""The options that several commands share, so that they mean the same everywhere."""

from typing import Annotated, Any

import typer

from heli.cli.completed_values import MOMENTS, one_of, output_format
from heli.cli.terminal import Color, wish_color


def _wish_color(color: Color | None) -> Color | None:
    if color is not None:
        wish_color(color)
    return color


def _moment(name: str, told: str) -> Any:
    return typer.Option(name, metavar="TIME", help=told, autocompletion=one_of(*MOMENTS))


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
        autocompletion=output_format,
    ),
]
FieldsOption = Annotated[
    str | None,
    typer.Option("--json", metavar="FIELDS", help="JSON with only these fields: id,model,usage.input_tokens"),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Ids only, one on each line.")]
SinceOption = Annotated[
    str | None, _moment("--since", "Only from then on: 2h, today, yesterday, 14:30, 2026-11-18.")
]
UntilOption = Annotated[str | None, _moment("--until", "Only before then; written like --since.")]
FilterArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILTER", help="model:gpt-4o* status>=400 cost>0.01 …; see `heli help filters`."),
]

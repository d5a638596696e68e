"""`heli reprice`: what the log would cost at other prices, and its costs replaced by these."""

import datetime
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from heli.cli import figures
from heli.cli.backend_client import open_client
from heli.cli.moments import read_time
from heli.cli.options import ColorOption, FilterArgument, OutputOption, SinceOption, UntilOption
from heli.cli.printable import escaped, line
from heli.cli.sink import Format, Shape, Sink, choose_format, encode
from heli.cli.table import Cell, Column, Table
from heli.cli.terminal import can_redraw, say, wants_color, width
from heli.schema.errors import UsageError
from heli.schema.repricing import RepricedModel, RepriceProgress, RepriceReport
from heli.schema.settings import load_settings

if TYPE_CHECKING:
    from heli.client import Client

FORMS = tuple(form for form in Format if form is not Format.ID)
LARGEST_TABLE = 4 * 1024 * 1024


def reprice(
    filter: FilterArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table", metavar="FILE", help="Prices that go before all others, written like prices.toml."
        ),
    ] = None,
    date: Annotated[
        str | None,
        typer.Option("--date", metavar="DATE", help="Take the prices of that day, not of each call's own."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would change; write nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; needed where nobody answers.")
    ] = False,
    output: OutputOption = None,
    color: ColorOption = None,
) -> None:
    """Price calls again: by prices.toml as it is now, by a file, or by the prices of another day.

    \b
    Examples:
      heli reprice --dry-run                what today's price files would change
      heli reprice cost:unknown             after a price was added to prices.toml
      heli reprice 'provider:OPENAI' --since 2026-11-01 --table contract.toml
      heli reprice --date 2026-01-01 --dry-run    what it had cost in January

    It shows what changes, by model, and asks before it writes. Stopped halfway, it leaves right costs, old or
    new, and running it again goes on.

    In a pipe and in CSV the fields stand in this order: model, requests, changed_requests,
    old_cost_usd, new_cost_usd, old_unknown_cost_requests, new_unknown_cost_requests,
    old_estimated_cost_requests, new_estimated_cost_requests.
    """
    form = choose_format(output, allowed=FORMS)
    question = {
        "filter": " ".join(filter or []),
        "since": read_time(since, "--since"),
        "until": read_time(until, "--until"),
        "table": None if table is None else read_table(table),
        "date": None if date is None else read_date(date),
    }
    if not (yes or dry_run or sys.stdin.isatty()):
        raise UsageError("nobody can be asked here", "add --yes to write, or --dry-run to look only")
    with open_client(load_settings()) as client:
        report = run(client, question, writes=False)
        if not report.rewritten_requests or dry_run:
            tell(report, form)
            say(summary(report))
            return
        tell(report, Format.TABLE, to_stderr=True)
        say(summary(report))
        if not yes and not _agrees(report):
            say("nothing was written")
            return
        done = run(client, question, writes=True)
    tell(done, form)
    say(summary(done))


def _agrees(report: RepriceReport) -> bool:
    return typer.confirm(f"Replace the costs of {report.rewritten_requests:,} calls?", err=True)


def run(client: "Client", question: dict[str, Any], writes: bool) -> RepriceReport:
    """One pass over the log, its progress told on a terminal."""
    report = RepriceReport(is_written=writes, rows=[], total=RepricedModel(model=""), rewritten_requests=0)
    with progress_line() as show:
        try:
            for item in client.reprice(**question, write=writes):
                if isinstance(item, RepriceProgress):
                    show(item)
                else:
                    report = item
        except KeyboardInterrupt:
            if writes:
                show(None)
                say("stopped; what was written is right, and running it again goes on")
            raise
    return report


@contextmanager
def progress_line() -> Iterator[Any]:
    """A function that shows how far it is, on one line of a terminal; the line is gone at the end."""
    can_draw = can_redraw(sys.stderr)

    def show(progress: RepriceProgress | None) -> None:
        if can_draw:
            words = "" if progress is None else f"{progress.seen:,} of {progress.requests:,} calls"
            sys.stderr.write(f"\r\x1b[K{words}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        show(None)


def read_table(file: Path) -> tuple[str, str]:
    """`(name, text)`. Raises `UsageError` for a file that cannot be read; the backend checks the rest."""
    try:
        data = file.read_bytes()
        text = data.decode()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"--table: cannot read {file}: {reason}", "name a file like prices.toml") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--table: {file} is not text", "name a file like prices.toml") from error
    if len(data) > LARGEST_TABLE:
        raise UsageError(f"--table: {file} has {len(data):,} bytes", f"at most {LARGEST_TABLE:,} are taken")
    return line(file.name), text


def read_date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--date: {text!r} is not a day", "write it like 2026-11-01") from error


def summary(report: RepriceReport) -> str:
    """One sentence for people."""
    total = report.total
    if not report.rewritten_requests:
        return f"{total.requests:,} calls: nothing changes"
    verb = "got another cost" if report.is_written else "would get another cost"
    words = f"{total.changed_requests:,} of {total.requests:,} calls {verb}"
    if others := report.rewritten_requests - total.changed_requests:
        words += f"; {others:,} keep theirs, from another price list or for another reason"
    return words


def _difference(row: RepricedModel) -> Cell:
    change = (row.new_cost_usd or Decimal(0)) - (row.old_cost_usd or Decimal(0))
    if not change:
        return Cell("-", "dim")
    is_estimate = row.old_estimated_cost_requests + row.new_estimated_cost_requests > 0
    text = f"{'+' if change > 0 else '-'}{figures.about(abs(change), is_estimate)}"
    return Cell(text, "warn" if change > 0 else "good")


def _old(row: RepricedModel) -> Cell:
    return Cell(figures.about(row.old_cost_usd, row.old_estimated_cost_requests > 0))


def _new(row: RepricedModel) -> Cell:
    return Cell(figures.about(row.new_cost_usd, row.new_estimated_cost_requests > 0), "strong")


def _unpriced(row: RepricedModel) -> str:
    old, new = row.old_unknown_cost_requests, row.new_unknown_cost_requests
    return f"{new:,}" if old == new else f"{old:,} → {new:,}"


_COLUMNS: list[Column[RepricedModel]] = [
    Column[RepricedModel]("model", lambda row: Cell(line(row.model) or "(no model)"), width=10),
    Column("calls", lambda row: Cell(figures.count(row.requests)), is_right=True, rank=3),
    Column("changed", lambda row: Cell(figures.count(row.changed_requests)), is_right=True, rank=2),
    Column("old cost", _old, is_right=True, width=8),
    Column("new cost", _new, is_right=True, width=8),
    Column("change", _difference, is_right=True, rank=1),
    Column("unpriced", lambda row: Cell(_unpriced(row)), is_right=True, rank=4),
]


def tell(report: RepriceReport, form: Format, to_stderr: bool = False) -> None:
    if form is Format.JSON:
        sys.stdout.write(
            escaped(encode(msgspec.to_builtins(report, builtin_types=(Decimal,))).decode()) + "\n"
        )
    elif form is Format.TABLE:
        _print(report, sys.stderr if to_stderr else sys.stdout)
    else:
        Sink(SHAPE, form).write_all(report.rows)


def _print(report: RepriceReport, out: Any) -> None:
    if not report.rows:
        return
    columns = width() if out.isatty() else 10_000
    total = RepricedModel(model="total", **msgspec.structs.asdict(report.total))
    shown = Table(_COLUMNS, wants_color(out))
    shown.learn([*report.rows, total])
    for text in [shown.head(columns), *(shown.line(row, columns) for row in report.rows)]:
        out.write(text + "\n")
    out.write("\n" + shown.line(total, columns) + "\n")


SHAPE = Shape[RepricedModel](
    columns=_COLUMNS,
    tree=msgspec.structs.asdict,
    flat=sorted(RepricedModel.__struct_fields__, key=lambda name: name != "model"),
)

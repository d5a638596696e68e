"""`heli dead-letters`: calls that the backend would not store, kept until somebody decides."""

import base64
import datetime
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from heli.cli import figures
from heli.cli.options import ColorOption, FieldsOption, OutputOption, QuietOption
from heli.cli.printable import block, line
from heli.cli.root import make_app
from heli.cli.sink import Shape, Sink, choose_format, encode, split_fields
from heli.cli.table import Cell, Column
from heli.cli.terminal import say
from heli.schema.errors import ConflictError, ExitCode, NotFoundError, UsageError
from heli.schema.exchange import Exchange, Headers
from heli.schema.paths import read_or_make_secret
from heli.schema.settings import Loaded, load_settings

if TYPE_CHECKING:
    from heli.proxy.spool.dead_letters import DeadLetter

HELP = """Calls that the backend would not store, however often they were sent, with its reason.

\b
Examples:
  heli dead-letters list
  heli dead-letters show 3f2a
  heli dead-letters replay              send all again, as after an upgrade
  heli dead-letters delete 3f2a --yes

They lie on the machine of the gateway that carried them, and stay until they are stored or deleted.
"""
ANSWER_S = 30.0
SHORTEST_ID = 4

app = make_app(help=HELP)

IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ID...", help="Ids, or unique beginnings of them; all if none.")
]


class Row(msgspec.Struct, frozen=True):
    """What the list shows of one."""

    id: str
    buried_at: datetime.datetime
    worker: str
    origin: str | None
    """`None`, like the next one, when the file cannot be read."""
    path: str | None
    bytes: int
    reason: str
    file: str


def _row(letter: "DeadLetter") -> Row:
    exchange = letter.read()
    return Row(
        id=str(letter.id),
        buried_at=letter.buried_at,
        worker=letter.worker,
        origin=exchange.origin if exchange else None,
        path=exchange.path if exchange else None,
        bytes=letter.file.stat().st_size,
        reason=letter.reason,
        file=str(letter.file),
    )


def _tree(row: Row) -> dict[str, Any]:
    tree: dict[str, Any] = msgspec.to_builtins(row)
    return tree


def _clock(row: Row) -> Cell:
    return Cell(figures.clock(row.buried_at, datetime.datetime.now().astimezone().date()), "dim")


def _where(row: Row) -> Cell:
    if row.origin is None:
        return Cell("(cannot be read)", "bad")
    return Cell(line(f"{row.origin.partition('://')[2]}{row.path}"))


def _no_values() -> dict[str, Any]:
    return dict.fromkeys(Row.__struct_fields__)


COLUMNS: tuple[Column[Row], ...] = (
    Column("time", _clock),
    Column("id", lambda row: Cell(row.id[:8])),
    Column("worker", lambda row: Cell(row.worker), rank=2),
    Column("where", _where, width=24, rank=1),
    Column("size", lambda row: Cell(figures.size(row.bytes)), is_right=True, rank=3),
    Column("reason", lambda row: Cell(line(row.reason), "bad"), is_elastic=True),
)
SHAPE = Shape[Row](COLUMNS, _tree, Row.__struct_fields__, lambda row: row.id, _no_values)


@app.command("list")
def list_all(
    output: OutputOption = None,
    fields: FieldsOption = None,
    quiet: QuietOption = False,
    color: ColorOption = None,
) -> None:
    """All of them, the newest last, each with the reason.

    \b
    Examples:
      heli dead-letters list
      heli dead-letters list --json id,reason
      heli dead-letters list -q | xargs -n1 heli dead-letters show

    In a pipe and in CSV the fields stand in this order: id, buried_at, worker, origin, path, bytes,
    reason, file.
    """
    from heli.proxy.spool.dead_letters import list_dead_letters

    names = split_fields(fields)
    sink = Sink(SHAPE, choose_format(output, fields, quiet), names)
    letters = list_dead_letters(load_settings().paths.dead_letters)
    if not sink.write_all(map(_row, letters)) and sys.stdout.isatty():
        say("there are no dead letters: all that was captured could be stored")


@app.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="An id, or the unique beginning of one.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FORMAT", help="json: all of it, bodies in base64."),
    ] = None,
) -> None:
    """One call as it was captured, with the reason why it is not stored.

    \b
    Examples:
      heli dead-letters show 3f2a
      heli dead-letters show 3f2a -o json
    """
    if output not in (None, "json"):
        raise UsageError(f"-o {output!r} is not a format of this command", "choose json, or leave it out")
    (letter,) = _choose(load_settings(), [id])
    exchange = letter.read()
    if output == "json":
        told = _tree(_row(letter)) | {"exchange": _exchange_tree(exchange) if exchange else None}
        sys.stdout.write(encode(told).decode() + "\n")
        return
    sys.stdout.write(f"{letter.id} · {letter.worker} · {letter.buried_at:%Y-%m-%d %H:%M:%S} UTC\n")
    sys.stdout.write(f"not stored: {block(letter.reason).strip()}\n\n")
    sys.stdout.write(_text(exchange) if exchange else f"{letter.file} cannot be read\n")


@app.command()
def replay(ids: IdsArgument = None) -> int:
    """Send them to the backend again: all, or those that are named. What is stored now goes away.

    \b
    Examples:
      heli dead-letters replay
      heli dead-letters replay 3f2a 9c01

    Exit code 1 when the backend refuses one again; it stays, with the new reason.
    """
    from heli.proxy.spool.dead_letters import replay_dead_letters
    from heli.proxy.spool.sending import BackendConnection

    loaded = load_settings()
    letters = _choose(loaded, ids or [])
    if not letters:
        say("there are no dead letters")
        return ExitCode.OK
    token = loaded.settings.backend.ingest_token or read_or_make_secret(loaded.paths.ingest_token)
    connection = BackendConnection(loaded.settings.backend_url, token, ANSWER_S)
    try:
        done = replay_dead_letters(letters, connection)
    finally:
        connection.close()
    say(f"{done.stored:,} stored, {done.refused:,} refused again")
    if done.refused:
        say("`heli dead-letters list` tells why")
    return ExitCode.FAILURE if done.refused else ExitCode.OK


@app.command()
def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, or unique beginnings of them.")],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do it; without it, only tell what would go.")
    ] = False,
) -> None:
    """Give calls up for good.

    \b
    Example:
      heli dead-letters delete 3f2a --yes
    """
    letters = _choose(load_settings(), ids)
    for letter in letters:
        if yes:
            letter.delete()
        say(f"{letter.id} {'is deleted' if yes else 'would be deleted'}: {line(letter.reason)}")
    if not yes:
        say("nothing was deleted; --yes does it")


def _choose(loaded: Loaded, ids: Sequence[str]) -> "list[DeadLetter]":
    """Those that are named, or all."""
    from heli.proxy.spool.dead_letters import list_dead_letters

    letters = list_dead_letters(loaded.paths.dead_letters)
    return [_find(letters, id) for id in ids] if ids else letters


def _find(letters: "Sequence[DeadLetter]", id: str) -> "DeadLetter":
    digits = id.replace("-", "").lower()
    found = [letter for letter in letters if letter.id.hex.startswith(digits)]
    if len(digits) < SHORTEST_ID or not found:
        raise NotFoundError(
            f"there is no dead letter {id!r}", f"give {SHORTEST_ID} letters or more; `heli dead-letters list`"
        )
    if len(found) > 1:
        raise ConflictError(f"{id!r} fits {len(found)} dead letters", "give more of the id")
    return found[0]


def _exchange_tree(exchange: Exchange) -> dict[str, Any]:
    tree = {name: getattr(exchange, name) for name in exchange.__struct_fields__}
    for name in ("request_headers", "response_headers"):
        tree[name] = _readable(tree[name])
    for name in ("request_body", "response_body", "key_digest"):
        tree[name] = base64.b64encode(tree[name]).decode() if tree[name] is not None else None
    return tree | {"id": str(exchange.request_id), "outcome": str(exchange.outcome)}


def _text(exchange: Exchange) -> str:
    status = "no reply" if exchange.response_status is None else str(exchange.response_status)
    if exchange.error:
        status += f"   {line(exchange.error)}"
    return (
        f"{line(exchange.method)} {line(exchange.path)}   {line(exchange.origin)}\n"
        f"{_lines(exchange.request_headers)}\n{_body(exchange.request_body)}\n"
        f"{status}\n{_lines(exchange.response_headers)}\n{_body(exchange.response_body)}"
    )


def _lines(headers: Headers) -> str:
    return "".join(f"{line(name)}: {line(value)}\n" for name, value in _readable(headers))


def _readable(headers: Headers) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in headers]


def _body(body: bytes) -> str:
    """As it crossed the wire, if that is text."""
    try:
        return block(body.decode()).rstrip("\n") + "\n" if body else ""
    except UnicodeDecodeError:
        return f"[not text, {len(body):,} bytes]\n"

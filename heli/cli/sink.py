"""The one way out for data: as a table, tab-separated, JSON, JSON lines, CSV or ids."""

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, TextIO

import msgspec

from heli.cli.commands import suggest
from heli.cli.printable import block, escaped, line
from heli.cli.table import Column, Table
from heli.cli.terminal import wants_color, width
from heli.schema.errors import UsageError


class Format(StrEnum):
    """What `-o` takes; `plain` is what a pipe gets when nothing else was asked for."""

    TABLE = "table"
    PLAIN = "plain"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    ID = "id"


class Shape[T](msgspec.Struct, frozen=True):
    """How rows of T are written."""

    columns: Sequence[Column[T]]
    tree: Callable[[T], dict[str, Any]]
    """The row with all its fields, for JSON; nested where the record is."""
    flat: Sequence[str]
    """Dotted fields, in the order of the plain and CSV forms."""
    id: Callable[[T], str] | None = None
    """`None` where rows have none."""
    known: Callable[[], dict[str, Any]] | None = None
    """A tree of all fields that a row has, without values, to check names before there are rows."""


MOST_NAMED = 16
"""So many fields are named where a name is none of them."""
encode = msgspec.json.Encoder(decimal_format="number").encode


def choose_format(
    output: str | None,
    fields: str | None = None,
    is_quiet: bool = False,
    allowed: Sequence[Format] = tuple(Format),
) -> Format:
    """What the flags ask for; without any, a table on a terminal and plain lines in a pipe."""
    if is_quiet:
        return Format.ID
    if output is None:
        if fields:
            return Format.JSON
        return Format.TABLE if sys.stdout.isatty() else Format.PLAIN
    if output not in allowed:
        names = ", ".join(allowed)
        raise UsageError(
            f"-o {output!r} is not a format{suggest(output, list(allowed))}", f"choose from {names}"
        )
    return Format(output)


def split_fields(fields: str | None) -> list[str]:
    return [field for field in (fields or "").replace(",", " ").split() if field]


class Sink[T]:
    """Writes rows as they come; `close` writes what has to stand at the end."""

    def __init__(
        self, shape: Shape[T], format: Format, fields: Sequence[str] = (), out: TextIO | None = None
    ) -> None:
        self._shape = shape
        self._fields = list(fields)
        self._out = out or sys.stdout
        self._format = format
        self._count = 0
        self._table = Table(shape.columns, wants_color(self._out))
        self._waiting: list[T] = []
        if format is Format.ID and shape.id is None:
            raise UsageError("these rows have no ids", "choose another -o")
        if self._fields and shape.known is not None:
            known = shape.known()
            for name in self._fields:
                pick(known, name)

    def write(self, row: T) -> None:
        """A row; in a table it is shown at the end, when all widths are known."""
        match self._format:
            case Format.TABLE:
                self._waiting.append(row)
            case Format.PLAIN:
                self._out.write("\t".join(line(_plain(value)) for value in self._values(row)) + "\n")
            case Format.JSON:
                self._out.write(("[\n" if self._count == 0 else ",\n") + self._json(row))
            case Format.JSONL:
                self._out.write(self._json(row) + "\n")
            case Format.CSV:
                self._write_csv(row)
            case Format.ID:
                assert self._shape.id is not None
                self._out.write(self._shape.id(row) + "\n")
        self._count += 1

    def flush(self) -> None:
        """For who reads along in a pipe."""
        self._out.flush()

    def close(self) -> None:
        if self._format is Format.TABLE:
            self._write_table()
        elif self._format is Format.JSON:
            self._out.write("\n]\n" if self._count else "[]\n")
        elif self._format is Format.CSV and not self._count:
            self._csv().writerow(self._names())
        self._out.flush()

    def write_all(self, rows: Iterable[T]) -> int:
        """All rows and the end; how many there were."""
        for row in rows:
            self.write(row)
        self.close()
        return self._count

    def _write_table(self) -> None:
        columns = width() if self._out.isatty() else 10_000
        self._table.learn(self._waiting)
        if self._waiting:
            self._out.write(self._table.head(columns) + "\n")
        for row in self._waiting:
            self._out.write(self._table.line(row, columns) + "\n")

    def _json(self, row: T) -> str:
        tree = self._shape.tree(row)
        if self._fields:
            tree = {name: pick(tree, name) for name in self._fields}
        return escaped(encode(tree).decode())

    def _names(self) -> Sequence[str]:
        return self._fields or self._shape.flat

    def _values(self, row: T) -> list[Any]:
        tree = self._shape.tree(row)
        return [pick(tree, name) for name in self._names()]

    def _write_csv(self, row: T) -> None:
        writer = self._csv()
        if self._count == 0:
            writer.writerow(self._names())
        writer.writerow([block(_text(value)) for value in self._values(row)])

    def _csv(self) -> Any:
        return csv.writer(self._out, lineterminator="\n")


def pick(tree: dict[str, Any], name: str) -> Any:
    """The field of a dotted name. Raises `UsageError` that names those there are."""
    if name in tree:  # also with dots in it, as a property may have them
        return tree[name]
    value: Any = tree
    for key in name.split("."):
        if not isinstance(value, dict):
            return None
        if key not in value:
            # The keys of a map are its owner's; only a record's fields are fixed.
            if value is tree or name.startswith("usage."):
                raise _unknown_field(name, key, list(value))
            return None
        value = value[key]
    return value


def _unknown_field(name: str, key: str, known: list[str]) -> UsageError:
    near = suggest(key, known)
    named = ", ".join(known[:MOST_NAMED])
    more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
    hint = (
        "-o json shows all fields"
        if near
        else f"fields: {named}{more}{'; -o json shows all' if more else ''}"
    )
    return UsageError(f"there is no field {name!r}{near}", hint)


def _plain(value: Any) -> str:
    return "?" if value is None else _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    encoded: str = encode(value).decode()
    return encoded.strip('"') if not isinstance(value, dict | list) else encoded

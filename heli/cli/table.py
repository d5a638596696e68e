"""Tables for people: columns as wide as they must be, dropped by rank where the terminal is narrow."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from heli.cli.printable import cells, pad
from heli.cli.terminal import paint

GAP = "  "


class Cell(NamedTuple):
    """A text with one of the styles of `terminal`."""

    text: str
    style: str = ""


class Column[T](NamedTuple):
    """One column of rows of T."""

    title: str
    show: Callable[[T], Cell]
    is_right: bool = False
    width: int = 0
    """The least width, beyond that of the title."""
    rank: int = 0
    """Where there is no room, the highest rank goes first; 0 stays."""
    most: int = 0
    """The greatest width, beyond which a text is clipped; 0 for none."""
    is_elastic: bool = False
    """Takes what the others leave, and is clipped; the last column only."""


LEAST_ELASTIC = 16


class Table[T]:
    """Lays out rows. Widths only grow, so that lines that are on the screen already stay in step."""

    def __init__(self, columns: Sequence[Column[T]], is_colored: bool) -> None:
        self._columns = columns
        self._is_colored = is_colored
        self._widths = [max(cells(column.title), column.width) for column in columns]

    def learn(self, rows: Iterable[T]) -> None:
        """Make the columns wide enough for these rows."""
        for row in rows:
            self._grow([column.show(row) for column in self._columns])

    def head(self, width: int) -> str:
        return self._line([Cell(column.title, "dim") for column in self._columns], width)

    def line(self, row: T, width: int) -> str:
        shown = [column.show(row) for column in self._columns]
        self._grow(shown)
        return self._line(shown, width)

    def _grow(self, shown: list[Cell]) -> None:
        for place, cell in enumerate(shown):
            if not self._columns[place].is_elastic:
                most = self._columns[place].most or cells(cell.text)
                self._widths[place] = max(self._widths[place], min(most, cells(cell.text)))

    def _line(self, shown: list[Cell], width: int) -> str:
        parts, used = [], 0
        for place in self._fitting(width):
            column, cell = self._columns[place], shown[place]
            column_width = self._widths[place] if not column.is_elastic else max(0, width - used)
            text = pad(cell.text, column_width, column.is_right)
            used += column_width + len(GAP)
            parts.append(paint(text, cell.style, self._is_colored))
        return GAP.join(parts).rstrip()

    def _fitting(self, width: int) -> list[int]:
        """The places of the columns for which there is room."""
        places = list(range(len(self._columns)))
        while self._needed(places) > width:
            droppable = [place for place in places if self._columns[place].rank]
            if not droppable:
                break
            places.remove(max(droppable, key=lambda place: self._columns[place].rank))
        return places

    def _needed(self, places: list[int]) -> int:
        return sum(
            (LEAST_ELASTIC if self._columns[place].is_elastic else self._widths[place]) + len(GAP)
            for place in places
        ) - len(GAP)

"""Tables for people: columns as wide as they must be, dropped by rank where the terminal is narrow."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from heli.cli.printable import cells, clip, pad
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
    """Where there is no room, the highest rank goes first; 1 only when nothing can be clipped, 0 never."""
    least: int = 0
    """The width to which it may be clipped before a column of rank 1 goes, of a rank above 1 before any goes;
    0 when it may not."""
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

    def titles(self, width: int) -> list[str]:
        """The columns for which there is room."""
        return [self._columns[place].title for place in self._fitting(width)]

    def _line(self, shown: list[Cell], width: int) -> str:
        parts, used = [], 0
        for place, fitting in self._fitting(width).items():
            column, cell = self._columns[place], shown[place]
            column_width = fitting if not column.is_elastic else max(0, width - used)
            text = (
                clip(cell.text, column_width)
                if column.is_elastic
                else pad(cell.text, column_width, column.is_right)
            )
            used += column_width + len(GAP)
            parts.append(paint(text, cell.style, self._is_colored))
        return GAP.join(parts).rstrip()

    def _fitting(self, width: int) -> dict[int, int]:
        """`{place: width}` of the columns for which there is room."""
        wanted = [
            LEAST_ELASTIC if column.is_elastic else least
            for column, least in zip(self._columns, self._widths, strict=True)
        ]
        least = [min(column.least or want, want) for column, want in zip(self._columns, wanted, strict=True)]
        first = [
            low if column.rank > 1 else want
            for column, low, want in zip(self._columns, least, wanted, strict=True)
        ]
        places = self._drop(list(range(len(wanted))), first, width, keep=1)
        places = self._drop(places, least, width, keep=0)
        spare, fitting = width - _sum(least, places), {}
        for place in places:
            given = min(wanted[place] - least[place], max(0, spare))
            spare -= given
            fitting[place] = least[place] + given
        return fitting

    def _drop(self, places: list[int], widths: list[int], width: int, keep: int) -> list[int]:
        """The places without as many of those ranked above `keep` as are too much."""
        while _sum(widths, places) > width:
            droppable = [place for place in places if self._columns[place].rank > keep]
            if not droppable:
                break
            worst = max(droppable, key=lambda place: self._columns[place].rank)
            places = [place for place in places if place != worst]
        return places


def _sum(widths: list[int], places: list[int]) -> int:
    return sum(widths[place] + len(GAP) for place in places) - len(GAP)

"""Columns make room for one another: by rank, by clipping, never beyond the terminal."""

import pytest

from heli.cli.printable import cells
from heli.cli.request_rows import COLUMNS, Row
from heli.cli.table import Cell, Column, Table
from tests.cli.fake_backend import a_request


@pytest.mark.parametrize("width", [36, 40, 60, 79, 99, 119, 200])
def test_a_call_fits_the_terminal_and_keeps_its_id(width: int) -> None:
    row = Row(request=a_request(7, model="claude-sonnet-4-5-20250929", response_preview="long " * 60))
    table = Table(COLUMNS, is_colored=False)
    table.learn([row])

    line = table.line(row, width)

    assert cells(line) <= width
    assert " 00077f " in f" {line}"


def test_a_column_is_clipped_before_the_last_ones_go() -> None:
    columns = [
        Column[str]("word", Cell, least=4),
        Column[str]("clock", lambda row: Cell("12:00"), rank=1),
        Column[str]("more", lambda row: Cell("more"), rank=2),
    ]
    table = Table(columns, is_colored=False)

    assert table.line("abcdefgh", 21) == "abcdefgh  12:00  more"
    assert table.line("abcdefgh", 14) == "abcdef…  12:00"
    assert table.line("abcdefgh", 10) == "abcdefgh"
    assert table.titles(10) == ["word"]


def test_the_last_column_leaves_no_blanks_behind_in_colour() -> None:
    table = Table([Column[str]("what", lambda row: Cell(row, "bad"), is_elastic=True)], is_colored=True)
    assert table.line("no", 40) == "\x1b[31mno\x1b[0m"


def test_a_column_that_may_go_is_clipped_before_it_goes() -> None:
    columns = [
        Column[str]("clock", lambda row: Cell("12:00")),
        Column[str]("word", Cell, least=4, rank=2),
    ]
    table = Table(columns, is_colored=False)

    assert table.line("abcdefgh", 15) == "12:00  abcdefgh"
    assert table.line("abcdefgh", 12) == "12:00  abcd…"
    assert table.line("abcdefgh", 10) == "12:00"

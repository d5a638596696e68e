"""Places in a list, sort orders and amounts: the parts of a query that need no store."""

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.backend.queries.helicone_list import order_by
from heli.backend.queries.json_text import json_or_none
from heli.backend.queries.money import add_exactly, plain
from heli.backend.queries.request_list import Key, read_cursor, write_cursor
from heli.schema.errors import UsageError

TIMES = st.datetimes(
    datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC)  # noqa: DTZ001
)  # fmt: skip


@given(TIMES, st.uuids())
def test_a_cursor_is_the_place_it_was_made_for(moment: datetime.datetime, id: uuid.UUID) -> None:
    key = Key(moment.replace(microsecond=moment.microsecond // 1000 * 1000), id)

    assert read_cursor(write_cursor(key)) == key


@given(st.text(max_size=60))
def test_no_text_is_a_cursor_by_accident(text: str) -> None:
    try:
        key = read_cursor(text)
    except UsageError:
        return
    assert write_cursor(key).rstrip("=") == text.rstrip("=")


@pytest.mark.parametrize(
    ("sort", "sql"),
    [
        ({"latency": "asc"}, "latency ASC NULLS LAST, request_created_at DESC, request_id DESC"),
        ({"random": True}, "rand()"),
        ({"random": "yes"}, "request_created_at DESC, request_id DESC"),
        ({"x; DROP TABLE": "asc"}, "request_created_at DESC, request_id DESC"),
    ],
)
def test_sort_keys_become_sql(sort: dict[str, Any], sql: str) -> None:
    assert order_by(sort) == (sql, {})


@pytest.mark.parametrize("sort", [{"latency": "up"}, {"cost": 1}, {"properties": {"a'b": "asc"}}])
def test_sorts_that_make_no_sense_are_refused(sort: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        order_by(sort)


def test_sums_keep_every_digit() -> None:
    parts = [Decimal("0.000000000000000001"), None, Decimal("99999999999999999999"), Decimal("0.3")]

    assert add_exactly(parts) == Decimal("99999999999999999999.300000000000000001")
    assert add_exactly([None]) is add_exactly([]) is None


@pytest.mark.parametrize(
    ("amount", "written"),
    [("0.000003150000000000", "0.00000315"), ("1E+3", "1000"), ("0E-18", "0"), ("2.50", "2.5")],
)
def test_amounts_are_written_plainly(amount: str, written: str) -> None:
    assert str(plain(Decimal(amount))) == written


@pytest.mark.parametrize(
    "data", [b"", b"null", b"3", b'{"a": NaN}', b"{", b'{"a": "\xff"}', b"[" * 50_000, "hello"]
)
def test_what_is_no_json_does_not_pass_for_it(data: bytes | str) -> None:
    assert json_or_none(data) is None


def test_json_stays_the_text_that_it_is() -> None:
    text = b'{"n": 12345678901234567890.10, "b": 1, "a": "\\u00e9"}'

    raw = json_or_none(b"  " + text + b"\n")

    assert raw is not None
    assert bytes(raw) == text

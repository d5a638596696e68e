"""JSON from anywhere is read, or said to be unreadable; nothing raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heli.providers.json_values import Unreadable, as_count, decode_json, encode_json, field


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"null", None),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "\xff"}', {"a": "�"}),
        (b'{"a": "\\ud800"}', {"a": "?"}),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        (b'{"a": 1e999}', {"a": float("inf")}),
    ],
)
def test_odd_json_is_read(data: bytes, value: object) -> None:
    assert decode_json(data) == value


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b'{"a": ', b"[" * 200_000, b"1" * 10_000, b'{"a": ' + b"1" * 10_000 + b"}"]
)
def test_what_is_not_json_is_unreadable(data: bytes) -> None:
    assert isinstance(decode_json(data), Unreadable)


@given(st.binary(max_size=200))
def test_any_bytes_are_borne(data: bytes) -> None:
    value = decode_json(data)

    assert isinstance(value, Unreadable) or isinstance(encode_json(value).encode(), bytes)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        (7.5, None),
        (-1, None),
        (True, None),
        ("7", None),
        (2**60, None),
        (None, None),
    ],
)
def test_a_count_is_a_sane_whole_number(value: object, count: int | None) -> None:
    assert as_count(value) == count


def test_a_field_is_found_through_objects_only() -> None:
    assert field({"a": {"b": 1}}, "a", "b") == 1
    assert field({"a": [1]}, "a", "b") is None

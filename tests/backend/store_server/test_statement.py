"""Where the text of an INSERT ends and its data begins, and which format a query asks for."""

import pytest

from heli.backend.store_server.statement import answer_format, find_insert


@pytest.mark.parametrize(
    ("body", "text", "format", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x01\x02", "INSERT INTO t ", "Native", b"\x01\x02"),
        (b"insert into t (a, b) format CSV\r\n1,2", "insert into t (a, b) ", "CSV", b"1,2"),
        (b"INSERT INTO `fo'rmat` (`format`, \"x)\") FORMAT Native\n\n",
         "INSERT INTO `fo'rmat` (`format`, \"x)\") ", "Native", b"\n"),
        (b"-- note FORMAT x\n/* FORMAT y */ INSERT INTO t FORMAT JSONEachRow {}",
         "-- note FORMAT x\n/* FORMAT y */ INSERT INTO t ", "JSONEachRow", b"{}"),
        (b"INSERT INTO t SETTINGS async_insert=0 FORMAT Native\n\n\n",
         "INSERT INTO t SETTINGS async_insert=0 ", "Native", b"\n\n"),
        (b"INSERT INTO t (format) FORMAT Native", "INSERT INTO t (format) ", "Native", b""),
        (b"INSERT INTO t FORMAT Native\n FORMAT CSV\n", "INSERT INTO t ", "Native", b" FORMAT CSV\n"),
    ],
)  # fmt: skip
def test_an_insert_is_split_from_its_data(body: bytes, text: str, format: str, data: bytes) -> None:
    insert = find_insert(body)

    assert insert is not None
    assert (insert.text, insert.format, body[insert.data_at :]) == (text, format, data)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"SELECT 1 FORMAT Native",
        b"SELECT 'INSERT INTO t FORMAT Native'",
        b"INSERT INTO t SELECT 1 FORMAT Native",
        b"INSERT INTO t (a) VALUES (1)",
        b"INSERT INTO t FORMAT Values (1), (2)",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"(INSERT INTO t FORMAT Native\n)",
        b"INSERT INTO t (a",
    ],
)
def test_what_brings_no_data_is_left_whole(body: bytes) -> None:
    assert find_insert(body) is None


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("SELECT 1", "TabSeparated"),
        ("SELECT 1\n FORMAT Native", "Native"),
        ("SELECT 1 format JSON;", "JSON"),
        ("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "CSV"),
        ("SELECT 'x FORMAT CSV'", "TabSeparated"),
    ],
)
def test_the_format_of_the_answer_is_found(text: str, format: str) -> None:
    assert answer_format(text, "TabSeparated") == format

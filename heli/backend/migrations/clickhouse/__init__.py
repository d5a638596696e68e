"""The request log's tables: numbered SQL files, each safe to run again, and the table of those that ran.

One set serves the embedded engine and a ClickHouse server alike.
"""

import re
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

from heli.backend.stores.errors import TooNewError

APPLIED = """
CREATE TABLE IF NOT EXISTS heli_migrations
(
    number UInt32,
    name String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree ORDER BY number SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""
FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")


def migrations() -> list[tuple[int, str, list[str]]]:
    """`(number, name, statements)` in order."""
    return sorted(
        (int(match[1]), match[2], list(_statements(file.read_text())))
        for file in resources.files(__name__).iterdir()
        if (match := FILE_NAME.fullmatch(file.name))
    )


def migrate(query: Callable[[str], list[dict[str, Any]]], command: Callable[[str], None]) -> list[int]:
    """Apply what has not been applied yet; return those numbers.

    A number is written down after all its statements ran. When that was interrupted, they run again.
    Raises `TooNewError` if the tables have seen migrations that this heli does not know.
    """
    command(APPLIED)
    applied = {row["number"] for row in query("SELECT DISTINCT number FROM heli_migrations")}
    known = migrations()
    if unknown := applied - {number for number, _, _ in known}:
        raise TooNewError(
            f"the request log was written by a newer heli (migration {max(unknown):04d})",
            "upgrade heli, or point it at another data folder or store.url",
        )
    done = []
    for number, name, statements in known:
        if number not in applied:
            for statement in statements:
                command(statement)
            command(f"INSERT INTO heli_migrations (number, name) SELECT {number}, '{name}'")
            done.append(number)
    return done


def _statements(text: str) -> Iterator[str]:
    """Split at semicolons that end a line; the files keep to that."""
    for statement in re.split(r";[ \t]*(?:\n|$)", text):
        lines = [line for line in statement.splitlines() if not line.lstrip().startswith("--")]
        if any(line.strip() for line in lines):
            yield "\n".join(lines).strip()

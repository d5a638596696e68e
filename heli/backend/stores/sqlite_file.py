"""A SQLite file as heli wants it: private, in WAL mode, synced at each commit."""

import os
import sqlite3
import time
from pathlib import Path

from heli.schema.errors import UnreachableError
from heli.schema.paths import make_private

BUSY_TIMEOUT_MS = 10_000


def make_file(file: Path) -> None:
    """Make it, empty and private, when it is not there. Raises `UnreachableError` when it does not open."""
    make_private(file.parent)
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise UnreachableError(
            f"the database {file} does not open: {error.strerror}",
            "check that it is a file and that this user may read and write it",
        ) from error


def prepare_connection(connection: sqlite3.Connection) -> None:
    """Set what heli relies on; closes the connection when that fails."""
    connection.isolation_level = None  # transactions begin where heli says, for DDL too
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        _use_wal(connection)
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise


def _use_wal(connection: sqlite3.Connection) -> None:
    """A new database is switched once. SQLite does not wait when another process does so just now."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)

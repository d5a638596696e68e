"""The database of accounts, looked after without loading what it takes to work with it.

SQLAlchemy and Alembic take longer to load than the rest of the backend. A SQLite file that is new, or up to
date, needs neither of them.
"""

import functools
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from heli.backend.stores.sqlite_file import make_file, prepare_connection
from heli.schema.settings import Loaded

if TYPE_CHECKING:
    from heli.backend.stores.relational import Database

HEAD = "0001"
"""The newest migration; a test compares it with Alembic's."""
NEW_FILE = resources.files("heli.backend.migrations.relational") / "new_sqlite.sql"


class Accounts(Protocol):
    """Both block, and raise a `HeliError` when the answer is no."""

    def migrate(self) -> None:
        """Bring the tables up to this heli's version."""

    def ping(self) -> None:
        """Return if the database answers."""

    def close(self) -> None: ...


def watch_accounts(loaded: Loaded) -> Accounts:
    """The database that the settings name. Raises `UsageError` for a URL that no database can have."""
    if loaded.settings.database.url:
        return _Anywhere(loaded).opened()
    return _InFile(loaded)


class _Anywhere:
    """Any database, through SQLAlchemy, which is loaded at the first use."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    @functools.cached_property
    def _database(self) -> "Database":
        from heli.backend.stores.relational import open_database

        return open_database(self._loaded)

    def opened(self) -> Self:
        """Load what the URL asks for, now, so that one that makes no sense is told at the start."""
        self._database  # noqa: B018
        return self

    def migrate(self) -> None:
        self._database.migrate()

    def ping(self) -> None:
        self._database.ping()

    def close(self) -> None:
        if "_database" in vars(self):
            self._database.close()


class _InFile(_Anywhere):
    """heli's own SQLite file."""

    def migrate(self) -> None:
        if not self._is_current() and not make_tables(self._loaded.paths.database):
            super().migrate()

    def ping(self) -> None:
        if not self._is_current():
            super().ping()

    def _is_current(self) -> bool:
        """`False` also for all trouble: whoever asks next knows how to tell of it."""
        try:
            return read_revision(self._loaded.paths.database) == HEAD
        except sqlite3.Error:
            return False


def read_revision(file: Path) -> str:
    """The migration that the file has come to. Raises `sqlite3.Error` when it has none, or is not there."""
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return ",".join(str(revision) for (revision,) in rows)


def make_tables(file: Path) -> bool:
    """Fill a file that is new or empty; whether it was. Raises `UnreachableError` when it does not open."""
    make_file(file)
    try:
        with closing(sqlite3.connect(file)) as connection:
            prepare_connection(connection)
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                return False
            for statement in NEW_FILE.read_text().split(";\n"):
                connection.execute(statement)
            connection.execute("COMMIT")
    except sqlite3.Error:
        return False
    return True

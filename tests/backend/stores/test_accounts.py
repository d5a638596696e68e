"""A SQLite file is made and watched without SQLAlchemy, and is the same as if Alembic had made it."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory

from heli.backend.stores import relational
from heli.backend.stores.accounts import HEAD, Accounts, make_tables, read_revision, watch_accounts
from heli.backend.stores.errors import StoreError, TooNewError
from heli.backend.stores.relational import Database, sqlite_url
from heli.schema.errors import HeliError, UnreachableError
from heli.schema.request import LOCAL_ORGANISATION
from heli.schema.settings import Loaded, load_settings

WATCH = """
import sys
from heli.backend.stores.accounts import watch_accounts
from heli.schema.settings import load_settings
accounts = watch_accounts(load_settings())
accounts.migrate()
accounts.ping()
print([name for name in ("sqlalchemy", "alembic") if name in sys.modules])
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return load_settings({"HELI_HOME": str(tmp_path)}, tmp_path)


@pytest.fixture
def accounts(loaded: Loaded) -> Iterator[Accounts]:
    with closing(watch_accounts(loaded)) as accounts:
        yield accounts


def execute(file: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(file, autocommit=True)) as raw:
        return raw.execute(sql).fetchall()


def content(file: Path) -> dict[str, Any]:
    """The tables and their rows, without the time at which a row was made and spaces at ends of lines."""
    found = {
        name: "\n".join(line.rstrip() for line in sql.splitlines()) if sql else None
        for name, sql in execute(file, "SELECT name, sql FROM sqlite_master")
    }
    rows = [execute(file, f"SELECT * FROM {table}") for table in ("alembic_version", "api_keys")]
    return {"tables": found, "rows": rows, "names": execute(file, "SELECT id, name FROM organisations")}


def test_a_new_file_is_what_the_migrations_make(tmp_path: Path) -> None:
    by_alembic, by_script = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    with closing(Database(sqlite_url(by_alembic))) as database, database._writer.begin() as connection:
        config = relational._alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    assert make_tables(by_script)
    assert content(by_script) == content(by_alembic)
    with closing(Database(sqlite_url(by_script))) as database:
        database.migrate()
        assert database.organisation_names() == {LOCAL_ORGANISATION: "local"}
    lengths = {
        len(execute(file, "SELECT created_at FROM organisations")[0][0]) for file in (by_alembic, by_script)
    }
    assert lengths == {26}


def test_the_newest_migration_is_the_one_that_is_asked_for() -> None:
    assert ScriptDirectory.from_config(relational._alembic_config()).get_heads() == [HEAD]


def test_neither_sqlalchemy_nor_alembic_is_loaded(loaded: Loaded) -> None:
    environ = {"HELI_HOME": str(loaded.paths.database.parents[1])}
    for _ in range(2):
        told = subprocess.run(
            [sys.executable, "-c", WATCH], env=environ, capture_output=True, text=True, check=True
        )
        assert told.stdout == "[]\n"
    assert read_revision(loaded.paths.database) == HEAD
    assert loaded.paths.database.stat().st_mode & 0o777 == 0o600
    assert execute(loaded.paths.database, "PRAGMA journal_mode") == [("wal",)]


def test_an_older_file_is_brought_up_to_date(loaded: Loaded, accounts: Accounts) -> None:
    assert make_tables(loaded.paths.database)
    for table in ("alembic_version", "api_keys", "organisations"):
        execute(loaded.paths.database, f"DROP TABLE {table}")
    execute(loaded.paths.database, "CREATE TABLE somebody_elses (id INTEGER)")

    accounts.migrate()

    assert read_revision(loaded.paths.database) == HEAD


def test_a_newer_file_is_left_alone(loaded: Loaded, accounts: Accounts) -> None:
    accounts.migrate()
    execute(loaded.paths.database, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(TooNewError):
        accounts.migrate()


def test_a_file_that_went_away_is_made_again(loaded: Loaded, accounts: Accounts) -> None:
    accounts.migrate()
    loaded.paths.database.unlink()

    accounts.migrate()

    assert read_revision(loaded.paths.database) == HEAD


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_is_no_database_is_told(loaded: Loaded, accounts: Accounts, is_folder: bool) -> None:
    file = loaded.paths.database
    file.parent.mkdir(exist_ok=True)
    if is_folder:
        file.mkdir()
    else:
        file.write_bytes(b"this is not a database" * 1000)
    expected: type[HeliError] = UnreachableError if is_folder else StoreError

    with pytest.raises(expected):
        accounts.migrate()
    with pytest.raises(expected):
        accounts.ping()


def test_another_database_is_asked_by_its_address(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.sqlite'}"
    other = load_settings({"HELI_HOME": str(tmp_path), "HELI_DATABASE__URL": url}, tmp_path)

    with closing(watch_accounts(other)) as accounts:
        accounts.migrate()
        accounts.ping()

    assert read_revision(tmp_path / "other.sqlite") == HEAD

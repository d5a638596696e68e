"""Accounts and keys in SQLite: migrations, round trips, and what is said when the file will not do."""

import datetime
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from heli.backend.stores.errors import StoreError, TooNewError
from heli.backend.stores.relational import ApiKey, Database, open_database, sqlite_url
from heli.backend.stores.tables import metadata
from heli.schema.errors import ConflictError, UnreachableError
from heli.schema.request import LOCAL_ORGANISATION
from heli.schema.settings import load_settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a folder with spaces?" / "heli.sqlite"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    with closing(Database(sqlite_url(file))) as database:
        database.migrate()
        yield database


def a_key(**fields: object) -> ApiKey:
    defaults = {
        "id": uuid.uuid4(),
        "organisation_id": LOCAL_ORGANISATION,
        "name": "laptop",
        "permissions": "rw",
        "created_at": datetime.datetime(2026, 11, 1, 12, 0, 0, 5, datetime.UTC),
    }
    return ApiKey(**defaults | fields)  # type: ignore[arg-type]


def test_a_new_database_has_the_organisation_local(database: Database) -> None:
    database.ping()

    assert database.organisation_names() == {LOCAL_ORGANISATION: "local"}


def test_migrating_again_changes_nothing(database: Database) -> None:
    database.migrate()

    assert database.organisation_names() == {LOCAL_ORGANISATION: "local"}


def test_the_migrations_make_the_tables_that_the_queries_use(database: Database, file: Path) -> None:
    with closing(sqlite3.connect(file)) as raw:
        made = {
            table: {row[1] for row in raw.execute(f"PRAGMA table_info({table})")}
            for (table,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
    del made["alembic_version"]

    assert made == {table.name: set(table.columns.keys()) for table in metadata.sorted_tables}


def test_a_key_is_found_by_its_digest(database: Database) -> None:
    key = a_key()
    database.add_api_key(key, b"\x01" * 32)

    assert database.find_api_key(b"\x01" * 32) == key
    assert database.find_api_key(b"\x02" * 32) is None


def test_a_digest_is_there_once(database: Database) -> None:
    database.add_api_key(a_key(), b"\x01" * 32)

    with pytest.raises(ConflictError, match="laptop"):
        database.add_api_key(a_key(), b"\x01" * 32)


def test_a_key_belongs_to_an_organisation_that_exists(database: Database) -> None:
    with pytest.raises(ConflictError, match="FOREIGN KEY"):
        database.add_api_key(a_key(organisation_id=uuid.uuid4()), b"\x01" * 32)


def test_many_threads_write_at_once(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: database.add_api_key(a_key(), bytes([number]) * 32), range(40)))

    assert all(database.find_api_key(bytes([number]) * 32) for number in range(40))


MIGRATE = """
import sys
from pathlib import Path
from heli.backend.stores.relational import Database, sqlite_url
Database(sqlite_url(Path(sys.argv[1]))).migrate()
"""


def test_processes_may_migrate_at_the_same_time(file: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", MIGRATE, str(file)]) for _ in range(3)]

    assert [process.wait(60) for process in processes] == [0, 0, 0]
    with closing(Database(sqlite_url(file))) as database:
        assert database.organisation_names() == {LOCAL_ORGANISATION: "local"}


def test_a_commit_is_synced_before_it_is_told(database: Database) -> None:
    with database._engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert settings == ["wal", 2, 1]


def test_the_file_is_private(database: Database, file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_database_of_a_newer_heli_is_left_alone(database: Database, file: Path) -> None:
    database.close()
    with closing(sqlite3.connect(file, autocommit=True)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(TooNewError, match="written by a newer heli") as caught:
        database.migrate()

    assert "upgrade heli" in caught.value.hint


def test_a_file_that_is_no_database_is_told(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"this is not a database" * 1000)

    with pytest.raises(StoreError, match="file is not a database"):
        Database(sqlite_url(file)).migrate()

    assert file.read_bytes() == b"this is not a database" * 1000


def test_a_place_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "heli.sqlite").mkdir()

    with pytest.raises(UnreachableError, match="does not open"):
        sqlite_url(tmp_path / "heli.sqlite")


def test_the_settings_name_the_database(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"

    usual = open_database(load_settings({"HELI_HOME": str(tmp_path)}, tmp_path))
    named = open_database(
        load_settings({"HELI_HOME": str(tmp_path), "HELI_DATABASE__URL": f"sqlite:///{other}"}, tmp_path)
    )

    assert usual.place == str(tmp_path / "data" / "heli.sqlite")
    assert named.place == str(other)

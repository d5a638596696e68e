"""The relational side: accounts and keys, in SQLite or in whatever SQLAlchemy URL the settings name.

One set of models and of Alembic migrations serves every database. All methods block and may be called
from many threads.
"""

import datetime
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import create_engine, event, exc, insert, inspect, select, text
from sqlalchemy.engine import URL, Connection, make_url

from heli.backend.stores.accounts import HEAD
from heli.backend.stores.errors import StoreError, TooNewError
from heli.backend.stores.sqlite_file import make_file, prepare_connection
from heli.backend.stores.tables import api_keys, organisations
from heli.schema.errors import ConflictError, UnreachableError, UsageError
from heli.schema.settings import Loaded

if TYPE_CHECKING:
    from alembic.config import Config


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that programs show to heli. The key itself is nowhere kept."""

    id: uuid.UUID
    organisation_id: uuid.UUID
    name: str
    permissions: str
    """Letters, as in Helicone: `r`, `w`, `g` (gateway); empty for all of them."""
    created_at: datetime.datetime


class Database:
    """One database."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine = create_engine(url, pool_pre_ping=not _is_sqlite(url))
        if _is_sqlite(url):
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._writer = self._engine.execution_options(is_writing=True)

    @property
    def place(self) -> str:
        """The file, or the address without its password, for messages."""
        return self._url.database or "" if _is_sqlite(self._url) else self._url.render_as_string()

    def ping(self) -> None:
        """Return if the database answers; raise `UnreachableError` or `StoreError` if not."""
        with self._errors(), self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def migrate(self) -> None:
        """Bring the tables up to this heli's version. Safe to repeat, and to break off at any point.

        Raises `TooNewError` when a newer heli has changed them.
        """
        if self._is_current():
            return
        from alembic import command

        with self._errors(), self._writer.begin() as connection:
            config = _alembic_config()
            config.attributes["connection"] = connection
            self._refuse_newer(config, connection)
            command.upgrade(config, "head")

    def find_api_key(self, digest: bytes) -> ApiKey | None:
        """The key with this SHA-256 of `Bearer <key>`; `None` when there is none, or it was taken back."""
        wanted = select(
            api_keys.c.id,
            api_keys.c.organisation_id,
            api_keys.c.name,
            api_keys.c.permissions,
            api_keys.c.created_at,
        ).where(api_keys.c.digest == digest.hex(), api_keys.c.revoked_at.is_(None))
        with self._errors(), self._engine.connect() as connection:
            row = connection.execute(wanted).mappings().first()
        return None if row is None else ApiKey(**row)

    def add_api_key(self, key: ApiKey, digest: bytes) -> None:
        """Raises `ConflictError` when there is a key with this digest or id."""
        with self._errors(), self._writer.begin() as connection:
            try:
                connection.execute(
                    insert(api_keys).values(**msgspec.structs.asdict(key), digest=digest.hex())
                )
            except exc.IntegrityError as error:
                raise ConflictError(f"the key {key.name!r} cannot be added: {error.orig}") from error

    def organisation_names(self) -> dict[uuid.UUID, str]:
        """`{id: name}`; the organisation `local` is always among them."""
        with self._errors(), self._engine.connect() as connection:
            rows = connection.execute(select(organisations.c.id, organisations.c.name)).all()
        return {row.id: row.name for row in rows}

    def close(self) -> None:
        self._engine.dispose()

    def _is_current(self) -> bool:
        """Asked first, as it is nearly always so, and Alembic takes long to load."""
        with self._errors(), self._engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return False
            return connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [HEAD]

    def _refuse_newer(self, config: "Config", connection: Connection) -> None:
        from alembic import script
        from alembic.runtime.migration import MigrationContext

        known = {
            revision.revision for revision in script.ScriptDirectory.from_config(config).walk_revisions()
        }
        for head in MigrationContext.configure(connection).get_current_heads():
            if head not in known:
                raise TooNewError(
                    f"the database {self.place} was written by a newer heli (migration {head})",
                    "upgrade heli, or point it at another data folder or database.url",
                )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the driver's errors into heli's."""
        try:
            yield
        except exc.OperationalError as error:
            raise UnreachableError(
                f"the database {self.place} does not open or answer: {error.orig}",
                "check that the file or server is there and that this user may use it",
            ) from error
        except exc.DBAPIError as error:
            raise StoreError(
                f"the database {self.place} refuses: {error.orig}",
                "bring back a copy of it, or move it away to begin with an empty one",
            ) from error


def open_database(loaded: Loaded) -> Database:
    """The database that the settings name; a new SQLite file is private. Connects at the first use.

    Raises `UsageError` when no such database is known, or its driver is not there.
    """
    url = loaded.settings.database.url
    return _open_url(url) if url else Database(sqlite_url(loaded.paths.database))


def _open_url(text: str) -> Database:
    hint = "write it like sqlite:////srv/heli/heli.db or postgresql+psycopg://user:password@host/heli"
    kind = text.partition("://")[0]
    try:
        return Database(make_url(text))
    except exc.NoSuchModuleError as error:
        raise UsageError(f"database.url names the database {kind!r}, which nobody knows", hint) from error
    except (exc.ArgumentError, ValueError) as error:
        raise UsageError(f"database.url, a URL of {kind!r}, cannot be read", hint) from error
    except ImportError as error:
        raise UsageError(
            f"database.url names the database {kind!r}, whose driver is not installed: {error}",
            "install the driver beside heli, or choose another database",
        ) from error


def sqlite_url(file: Path) -> URL:
    """The URL of a SQLite file, which is made, empty and private, when it is not there."""
    make_file(file)
    return URL.create("sqlite", database=str(file))


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    prepare_connection(connection)


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once, where it can wait for it; in mid-transaction it would be refused.
    is_writing = connection.get_execution_options().get("is_writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _alembic_config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations" / "relational"))
    config.set_main_option("path_separator", "os")
    return config

"""The engine itself: chDB opened on one folder, with one connection for each thread that uses it.

The extension module is loaded by its file, not as the package `chdb`, which would bring in pandas and
pyarrow and open a second, throw-away engine.
"""

import ctypes
import importlib.machinery
import importlib.util
import itertools
import os
import re
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from heli.schema.errors import HeliError

RTLD_DEEPBIND = 0x8
SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ERROR_CODE = re.compile(r"Code: (\d+)\.")
DATABASE = "heli"
"""Where the log's tables are. The engine's own `default` also shows the files of the working folder."""
STICKY_SETTINGS = frozenset({"readonly", "allow_ddl", "profile"})
"""Settings that cannot be taken back: a connection that had them is not used again."""


class EngineError(Exception):
    """The engine refused a statement: ClickHouse's number and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @classmethod
    def make(cls, code: int, text: str) -> "EngineError":
        """One that this server raises itself, in ClickHouse's form."""
        return cls(code, f"Code: {code}. DB::Exception: {text}")

    @classmethod
    def of(cls, error: BaseException) -> "EngineError":
        """What chDB raised; 1002 is ClickHouse's number for what has none."""
        text = str(error).strip()
        match = ERROR_CODE.search(text)
        return cls(int(match[1]) if match else 1002, text)


class FolderError(HeliError):
    """The engine's folder will not open. Nothing in it was changed."""

    code = "store_folder"


class Result(msgspec.Struct, frozen=True):
    """What a statement gave."""

    data: bytes
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_ns: int = 0


def load_chdb() -> Any:
    """The extension module of the installed chDB."""
    spec = importlib.util.find_spec("chdb")
    if spec is None or not spec.submodule_search_locations:
        raise HeliError(
            "the embedded request log needs the package chdb, which is not installed",
            "install heli[embedded], or set store.url to a ClickHouse server",
        )
    file = Path(spec.submodule_search_locations[0]) / "_chdb.abi3.so"
    if sys.platform == "linux":
        # Its operators new and delete must be its own jemalloc's, as in the package's __init__.
        ctypes.CDLL(str(file), mode=sys.getdlopenflags() | RTLD_DEEPBIND)
    loader = importlib.machinery.ExtensionFileLoader("_chdb", str(file))
    wanted = importlib.machinery.ModuleSpec("_chdb", loader, origin=str(file))
    module = importlib.util.module_from_spec(wanted)
    loader.exec_module(module)
    return module


class Engine:
    """One folder. `connection()` gives each thread its own; statements of two threads run side by side."""

    FORBIDDEN = "?"
    """Where the engine would believe that the folder's name ends."""

    def __init__(self, module: Any, folder: Path, max_memory_bytes: int) -> None:
        """Open the folder, or raise `FolderError`."""
        if self.FORBIDDEN in str(folder):
            raise FolderError(
                f"the request log cannot be in {folder}: the engine takes no folder with a question mark",
                "set HELI_HOME to another folder",
            )
        self._module = module
        options = {
            "max_server_memory_usage": max_memory_bytes,
            "mark_cache_size": 64 * 1024 * 1024,
            "index_mark_cache_size": 16 * 1024 * 1024,
            "background_pool_size": 4,
            "background_schedule_pool_size": 4,
            "max_thread_pool_size": 1000,
        }
        self._address = f"{folder}?" + "&".join(f"{name}={value}" for name, value in options.items())
        self._base_settings = {
            "max_memory_usage": str(max_memory_bytes // 2),
            "max_execution_time": "600",
            "max_threads": str(min(4, os.cpu_count() or 1)),
            "async_insert": "0",
            "http_max_tries": "1",
        }
        self._local = threading.local()
        self._numbers = itertools.count(1)
        self._cancelling = threading.Lock()
        module.set_signal_handlers_enabled(0)
        try:
            self._own = module.connect(self._address)
            self._own.query(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic", "Null")
        except RuntimeError as error:
            reason = EngineError.of(error).text.split(", Stack trace")[0]
            raise FolderError(
                f"the request log in {folder} does not open: {reason}",
                "nothing was changed; move the folder away to begin with an empty log",
            ) from error

    def connection(self) -> "Connection":
        """This thread's connection."""
        found: Connection | None = getattr(self._local, "connection", None)
        if found is not None and found.is_spent:
            found.close()
            found = None
        if found is None:
            name = f"heli {next(self._numbers)}"
            raw = self._module.connect(self._address)
            found = self._local.connection = Connection(raw, name, self._base_settings)
        return found

    def cancel(self, name: str) -> None:
        """Break off what the connection of this name is running."""
        with self._cancelling:
            self._own.query(f"KILL QUERY WHERE Settings['log_comment'] = {_quoted(name)} ASYNC", "Null")

    def close(self) -> None:
        self._own.close()


class Connection:
    """A connection with the settings that were last asked for; changing them costs a statement."""

    def __init__(self, raw: Any, name: str, base_settings: Mapping[str, str]) -> None:
        self._raw = raw
        self.name = name
        self._base = {**base_settings, "log_comment": name}
        self._applied: dict[str, str] = {}
        self._database = ""
        self.is_spent = False
        self._set(self._base)

    def run(
        self,
        text: str,
        format: str,
        parameters: Mapping[str, str],
        settings: Mapping[str, str],
        database: str,
    ) -> Result:
        """Run one statement. Raises `EngineError`."""
        self._prepare(settings, database)
        kind = self._one_statement(text)
        try:
            return _result(self._raw.query(text, format, params=dict(parameters)))
        except RuntimeError as error:
            raise EngineError.of(error) from error
        finally:
            if kind == "CONTROL":
                self._retire()  # SET, USE and temporary tables must not outlive their request

    def insert(
        self, text: str, format: str, data: bytes, settings: Mapping[str, str], database: str
    ) -> Result:
        """Run `INSERT INTO …` with data in the given format; all of it or nothing. Raises `EngineError`."""
        self._prepare(settings, database)
        try:
            stream = self._raw.send_insert(text, format)
        except RuntimeError as error:
            raise EngineError.of(error) from error
        try:
            self._raw.insert_append(stream, data)
            return _result(self._raw.insert_done(stream), with_data=False)
        except RuntimeError as error:
            self._retire()
            raise EngineError.of(error) from error

    def close(self) -> None:
        self._raw.close()

    def _one_statement(self, text: str) -> str:
        told = self._raw.classify_query(text)
        if told["statement_count"] > 1:
            raise EngineError.make(62, "Syntax error: Multi-statements are not allowed. (SYNTAX_ERROR)")
        return str(told["query_class"].name)

    def _prepare(self, settings: Mapping[str, str], database: str) -> None:
        if database != self._database:
            if not DATABASE_NAME.fullmatch(database):
                raise EngineError.make(81, f"Database {database} does not exist. (UNKNOWN_DATABASE)")
            self._execute(f"USE {database}")
            self._database = database
        if settings != self._applied:
            wanted = {name: self._base.get(name) for name in self._applied} | dict(settings)
            self._set({name: value for name, value in wanted.items() if self._applied.get(name) != value})
            self._applied = dict(settings)
        if STICKY_SETTINGS & settings.keys():
            self.is_spent = True

    def _set(self, settings: Mapping[str, str | None]) -> None:
        """`None` brings the engine's default back."""
        parts = []
        for name, value in settings.items():
            if not SETTING_NAME.fullmatch(name):
                raise EngineError.make(115, f"Unknown setting '{name}'. (UNKNOWN_SETTING)")
            parts.append(f"{name} = {'DEFAULT' if value is None else _quoted(value)}")
        if parts:
            self._execute("SET " + ", ".join(parts))

    def _execute(self, text: str) -> None:
        try:
            self._raw.query(text, "Null")
        except RuntimeError as error:
            self._retire()
            raise EngineError.of(error) from error

    def _retire(self) -> None:
        self.is_spent = True


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _result(raw: Any, with_data: bool = True) -> Result:
    return Result(
        data=raw.bytes() if with_data else b"",
        read_rows=raw.storage_rows_read(),
        read_bytes=raw.storage_bytes_read(),
        written_rows=raw.rows_written(),
        written_bytes=raw.bytes_written(),
        elapsed_ns=int(raw.elapsed() * 1e9),
    )

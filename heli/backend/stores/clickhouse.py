"""The ClickHouse driver behind two verbs, `query` and `insert`, and heli's words for what goes wrong.

The embedded engine and a ClickHouse server are reached in the same way: over ClickHouse's HTTP interface.
"""

import datetime
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver import options
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, OperationalError
from clickhouse_connect.driver.httputil import get_pool_manager

from heli.backend.stores.errors import StoreError
from heli.schema.errors import DeniedError, UnreachableError

# As if they were not installed. The driver would import them at the first insert, where they came with
# something else, which takes seconds and 100 MiB.
vars(options).update(np=None, pd=None, pd_time_test=None, arrow=None, pl=None)

# It writes a traceback for what it raises as well.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
logging.getLogger("urllib3").setLevel(logging.ERROR)

CONNECT_TIMEOUT_S = 3
ANSWER_TIMEOUT_S = 120
CONNECTIONS = 16
SERVERS_DEFAULT = "__default__"
"""The driver's word for the database that the server gives to those who name none."""

BUSY_CODES = frozenset({159, 202, 209, 210, 241, 242, 252, 319, 394, 425, 439, 999})
"""ClickHouse error codes after which the same call may succeed later: too slow, too many queries or
parts, out of memory, read-only for a while, cancelled by a shutdown, no keeper."""
_ERRNO = re.compile(r"\[Errno -?\d+\] ([^\"')]+)")
_OF_ONE_TRY = re.compile(r"\?query_id=[-0-9a-f]+| executing HTTP request attempt \d+")
"""Other words in each try, by which the same trouble would not be known again."""
DENIED_CODES = frozenset({192, 193, 194, 497, 516})


class ClickHouse:
    """One server. Safe to use from many threads; connects at the first use, and again after a failure."""

    def __init__(self, url: str, user: str = "", password: str = "") -> None:
        """`user` and `password` stand in for those that are not in the URL."""
        self._parts = urlsplit(url)
        self._user = unquote(self._parts.username or "") or user or "default"
        self._password = unquote(self._parts.password or "") or password
        self._client: Client | None = None
        # A pool of our own: the default one is small, and looks at HTTP_PROXY.
        self._pool = get_pool_manager(maxsize=CONNECTIONS, num_pools=1)
        self._lock = threading.Lock()
        self._types: dict[str, ClickHouseType] = {}

    @property
    def place(self) -> str:
        """The address without its secrets, for messages."""
        return f"{self._parts.scheme}://{self._parts.hostname}:{self._port}"

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Rows of a SELECT. `parameters` are bound by the server where the text says `{name:Type}`."""
        bound = {name: _bindable(value) for name, value in (parameters or {}).items()}
        with self._errors():
            result = self._connected().query(sql, parameters=bound, settings=dict(settings or {}))
            return list(result.named_results())

    def command(
        self, sql: str, settings: Mapping[str, Any] | None = None, parameters: Mapping[str, Any] | None = None
    ) -> None:
        """Run a statement that answers nothing; `parameters` as in `query`."""
        bound = {name: _bindable(value) for name, value in (parameters or {}).items()}
        with self._errors():
            self._connected().command(sql, parameters=bound, settings=dict(settings or {}))

    def insert(
        self,
        table: str,
        columns: Mapping[str, Sequence[Any]],
        types: Mapping[str, str],
        settings: Mapping[str, Any],
    ) -> None:
        """Insert `{column: values}`, as one batch; durable, as far as the table's settings say, at return."""
        with self._errors():
            self._connected().insert(
                table,
                list(columns.values()),
                column_names=list(columns),
                column_types=[self._type(types[name]) for name in columns],
                column_oriented=True,
                settings=dict(settings),
            )

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
            self._pool.clear()

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = clickhouse_connect.get_client(
                    interface=self._parts.scheme,
                    host=self._parts.hostname or "127.0.0.1",
                    port=self._port,
                    username=self._user,
                    password=self._password,
                    database=self._parts.path.strip("/") or SERVERS_DEFAULT,
                    compress=not self._is_local,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    send_receive_timeout=ANSWER_TIMEOUT_S,
                    query_retries=0,
                    tz_mode="aware",
                    autogenerate_session_id=False,
                    form_encode_query_params=True,
                    pool_mgr=self._pool,
                )
            return self._client

    @property
    def _port(self) -> int:
        return self._parts.port or (8443 if self._parts.scheme == "https" else 8123)

    @property
    def _is_local(self) -> bool:
        return self._parts.hostname in {"127.0.0.1", "localhost", "::1"}

    def _type(self, name: str) -> ClickHouseType:
        if name not in self._types:
            self._types[name] = get_from_name(name)
        return self._types[name]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the driver's errors into heli's."""
        try:
            yield
        except DataError as error:
            raise StoreError(f"a value does not fit into the request log: {error}") from error
        except ClickHouseError as error:
            code = getattr(error, "code", None)
            text = " ".join(str(error).split())
            if code in DENIED_CODES:
                raise DeniedError(
                    f"the request log at {self.place} refuses user {self._user!r}: {text}",
                    "check store.url, or the store-password file in the state folder",
                ) from error
            if code in BUSY_CODES:
                raise UnreachableError(f"the request log at {self.place} is too busy: {text}") from error
            if code is None and isinstance(error, OperationalError):
                raise UnreachableError(
                    f"the request log at {self.place} does not answer: {_reason(text)}",
                    "start it with `heli up`, or with `heli serve store`",
                ) from error
            raise StoreError(f"the request log refuses: {text}") from error


def _reason(text: str) -> str:
    """Why there was no answer, without the driver's and its libraries' words around it."""
    found = _ERRNO.search(text)
    return found[1].strip().lower() if found else _OF_ONE_TRY.sub("", text)


def _bindable(value: Any) -> Any:
    """A parameter as the server should read it: the driver cuts a time to whole seconds."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, list | tuple | set | frozenset):
        return [_bindable(item) for item in value]
    return value

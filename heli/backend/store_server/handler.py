"""ClickHouse's HTTP interface: who asks, which statement with which parameters and settings, and its answer.

Facts of the interface are from https://clickhouse.com/docs/interfaces/http; the statuses of errors from
ClickHouse's `exceptionCodeToHTTPStatus`.
"""

import asyncio
import base64
import binascii
import hmac
import json
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from heli.backend.store_server.coding import CodingError, compress, decompress, form_fields
from heli.backend.store_server.engine import DATABASE, Connection, Engine, EngineError, Result
from heli.backend.store_server.http import HttpRequest, HttpResponse
from heli.backend.store_server.statement import Insert, answer_format, find_insert

NOT_SETTINGS = frozenset(
    {
        "query", "database", "default_format", "user", "password", "quota_key", "query_id", "session_id",
        "session_timeout", "session_check", "close_session", "buffer_size", "wait_end_of_query", "compress",
        "decompress", "client_protocol_version", "role", "stacktrace", "enable_http_compression",
        "http_zlib_compression_level", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
    }
)  # fmt: skip
"""Parameters of the address that are not the engine's settings, or that mean nothing here."""

QUERY_THREADS = 6
INSERT_THREADS = 2
MAX_WAITING = 200

STATUS_OF_CODE = {
    194: 401, 192: 403, 193: 403, 516: 403, 497: 403,
    6: 400, 26: 400, 27: 400, 36: 400, 38: 400, 41: 400, 53: 400, 62: 400, 69: 400, 72: 400, 117: 400,
    46: 404, 47: 404, 50: 404, 60: 404, 73: 404, 81: 404, 115: 404,
    159: 408, 48: 501, 202: 503, 439: 503, 209: 503,
}  # fmt: skip


class Handler:
    """Answers requests. Inserts have threads of their own, so that no slow query keeps them waiting."""

    def __init__(self, engine: Engine, user: str, password: str) -> None:
        self._engine = engine
        self._credentials = f"{user}:{password}".encode()
        self._queries = ThreadPoolExecutor(QUERY_THREADS, "query")
        self._inserts = ThreadPoolExecutor(INSERT_THREADS, "insert")
        self._waiting = 0
        self._jobs: set[Job] = set()

    def admit(self, request: HttpRequest) -> HttpResponse | None:
        if request.path == "/ping" or (request.path == "/" and not request.query and request.method == "GET"):
            return HttpResponse(200, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
        if request.path not in {"/", "/query"}:
            return HttpResponse(404, f"There is no handle {request.path}\n".encode())
        try:
            self._check_identity(request)
        except EngineError as error:
            return _failure(error.code, error.text)
        return None

    async def answer(self, request: HttpRequest, gone: asyncio.Event) -> HttpResponse:
        try:
            if self._waiting >= MAX_WAITING:
                raise EngineError.make(202, "Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)")
            self._waiting += 1
            try:
                return await self._run(request, gone)
            finally:
                self._waiting -= 1
        except (EngineError, CodingError) as error:
            return _failure(error.code, error.text)

    def close(self) -> None:
        """Break off what still runs, and let the threads end."""
        for job in list(self._jobs):
            job.cancel()
        self._queries.shutdown(cancel_futures=True)
        self._inserts.shutdown(cancel_futures=True)

    def _check_identity(self, request: HttpRequest) -> None:
        given = _credentials(request)
        if given is None:
            raise EngineError.make(194, "Authentication failed: password is required. (REQUIRED_PASSWORD)")
        if not hmac.compare_digest(given, self._credentials):
            reason = "password is incorrect, or there is no user with such name"
            raise EngineError.make(516, f"Authentication failed: {reason}. (AUTHENTICATION_FAILED)")

    async def _run(self, request: HttpRequest, gone: asyncio.Event) -> HttpResponse:
        fields = dict(request.query)
        body = request.body
        if coding := request.headers.get("content-encoding", ""):
            body = await asyncio.to_thread(decompress, coding, body)
        content_type = request.headers.get("content-type", "")
        if content_type.startswith(("multipart/", "application/x-www-form")):
            fields |= form_fields(content_type, body)
            body = b""
        text = fields.pop("query", "").encode()
        whole = text + b"\n" + body if text and body else text or body
        insert = find_insert(whole)
        if insert is not None:
            return await self._in_thread(
                self._inserts, partial(_insert, insert, whole, fields, request), gone
            )
        pool = self._inserts if whole.lstrip()[:6].upper() == b"INSERT" else self._queries
        return await self._in_thread(pool, partial(_query, whole, fields, request), gone)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, work: Callable[[Connection], HttpResponse], gone: asyncio.Event
    ) -> HttpResponse:
        """Run it in a thread of the pool; break a query off when its caller hangs up."""
        job = Job(self._engine, work)
        self._jobs.add(job)
        future = asyncio.get_running_loop().run_in_executor(pool, job.run)
        try:
            if pool is self._queries:
                hang_up = asyncio.ensure_future(gone.wait())
                either: list[asyncio.Future[Any]] = [future, hang_up]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                hang_up.cancel()
                if not future.done():
                    await asyncio.to_thread(job.cancel)
            return await future
        finally:
            self._jobs.discard(job)


class Job:
    """One statement on its way through a thread."""

    def __init__(self, engine: Engine, work: Callable[[Connection], HttpResponse]) -> None:
        self._engine = engine
        self._work = work
        self._lock = threading.Lock()
        self._running: str | None = None
        self._is_cancelled = False

    def run(self) -> HttpResponse:
        connection = self._engine.connection()
        with self._lock:
            if self._is_cancelled:
                raise EngineError.make(394, "Query was cancelled. (QUERY_WAS_CANCELLED)")
            self._running = connection.name
        try:
            return self._work(connection)
        finally:
            with self._lock:  # a cancellation that is under way must not hit the thread's next statement
                self._running = None

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            if self._running is not None:
                self._engine.cancel(self._running)


def _insert(
    insert: Insert, body: bytes, fields: Mapping[str, str], request: HttpRequest, connection: Connection
) -> HttpResponse:
    data = body[insert.data_at :]
    result = connection.insert(
        insert.text, insert.format, data, _settings(fields), fields.get("database", DATABASE)
    )
    return _success(result, "", fields, request)


def _query(
    body: bytes, fields: Mapping[str, str], request: HttpRequest, connection: Connection
) -> HttpResponse:
    text = body.decode("utf-8", "replace").strip()
    if not text:
        raise EngineError.make(62, "Syntax error: Empty query. (SYNTAX_ERROR)")
    default = request.headers.get("x-clickhouse-format", fields.get("default_format", "TabSeparated"))
    parameters = {name[6:]: value for name, value in fields.items() if name.startswith("param_")}
    settings = _settings(fields)
    if request.method != "POST":
        settings["readonly"] = "2"
    result = connection.run(text, default, parameters, settings, fields.get("database", DATABASE))
    return _success(result, answer_format(text, default), fields, request)


def _settings(fields: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in fields.items()
        if name not in NOT_SETTINGS and not name.startswith("param_")
    }


def _credentials(request: HttpRequest) -> bytes | None:
    """`user:password` by basic authorization, headers or the address; `None` if there are none."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return b""
    for source, user, key in (
        (request.headers, "x-clickhouse-user", "x-clickhouse-key"),
        (request.query, "user", "password"),
    ):
        if user in source or key in source:
            return f"{source.get(user, 'default')}:{source.get(key, '')}".encode("utf-8", "surrogateescape")
    return None


def _common(fields: Mapping[str, str]) -> dict[str, str]:
    return {
        "Content-Type": "text/plain; charset=UTF-8",
        "X-ClickHouse-Server-Display-Name": "heli",
        "X-ClickHouse-Query-Id": fields.get("query_id") or str(uuid.uuid4()),
        "X-ClickHouse-Timezone": "UTC",
    }


def _success(result: Result, format: str, fields: Mapping[str, str], request: HttpRequest) -> HttpResponse:
    headers = _common(fields)
    if format:
        headers["X-ClickHouse-Format"] = format
    headers["X-ClickHouse-Summary"] = json.dumps(
        {
            "read_rows": str(result.read_rows),
            "read_bytes": str(result.read_bytes),
            "written_rows": str(result.written_rows),
            "written_bytes": str(result.written_bytes),
            "total_rows_to_read": "0",
            "result_rows": "0",
            "result_bytes": str(len(result.data)),
            "elapsed_ns": str(result.elapsed_ns),
        }
    )
    body = result.data
    if fields.get("enable_http_compression") == "1":
        body, coding = compress(request.headers.get("accept-encoding", ""), body)
        if coding:
            headers["Content-Encoding"] = coding
    return HttpResponse(200, body, headers)


def _failure(code: int, text: str) -> HttpResponse:
    headers = _common({}) | {"X-ClickHouse-Exception-Code": str(code)}
    if code == 194:
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return HttpResponse(STATUS_OF_CODE.get(code, 500), text.encode() + b"\n", headers)

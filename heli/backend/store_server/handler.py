"""ClickHouse's HTTP interface: who asks, which statement with which parameters and settings, and its answer.

Facts of the interface are from https://clickhouse.com/docs/interfaces/http; the statuses of errors from
ClickHouse's `exceptionCodeToHTTPStatus`.
"""

import asyncio
import base64
import binascii
import hmac
import json
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from heli.backend.store_server.coding import CodingError, compress, decompress, form_fields
from heli.backend.store_server.engine import Engine, EngineError, Result
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
        self._user = user
        self._queries = ThreadPoolExecutor(QUERY_THREADS, "query")
        self._inserts = ThreadPoolExecutor(INSERT_THREADS, "insert")
        self._waiting = 0

    async def __call__(self, request: HttpRequest, gone: asyncio.Event) -> HttpResponse:
        if request.path == "/ping" or (request.path == "/" and not request.query and request.method == "GET"):
            return HttpResponse(200, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
        try:
            self._check_identity(request)
            if request.path not in {"/", "/query"}:
                return HttpResponse(404, b"There is no handle " + request.path.encode() + b"\n")
            return await self._answer(request)
        except (EngineError, CodingError) as error:
            return _failure(error.code, error.text)

    def close(self) -> None:
        self._queries.shutdown(cancel_futures=True)
        self._inserts.shutdown(cancel_futures=True)

    def _check_identity(self, request: HttpRequest) -> None:
        given = _credentials(request)
        if given is None:
            raise EngineError.make(194, f"{self._user}: Authentication failed: password is required."
                " (REQUIRED_PASSWORD)"
            )  # fmt: skip
        if not hmac.compare_digest(given, self._credentials):
            raise EngineError.make(516, "Authentication failed: password is incorrect,"
                " or there is no user with such name. (AUTHENTICATION_FAILED)"
            )  # fmt: skip

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        if self._waiting >= MAX_WAITING:
            raise EngineError.make(
                202,
                "Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)",
            )
        self._waiting += 1
        try:
            return await self._run(request)
        finally:
            self._waiting -= 1

    async def _run(self, request: HttpRequest) -> HttpResponse:
        fields = dict(request.query)
        body = request.body
        if coding := request.headers.get("content-encoding", ""):
            body = await asyncio.to_thread(decompress, coding, body)
        if request.headers.get("content-type", "").startswith(("multipart/", "application/x-www-form")):
            fields |= form_fields(request.headers["content-type"], body)
            body = b""
        whole = fields.pop("query", "").encode()
        whole = whole + b"\n" + body if whole and body else whole or body
        insert = find_insert(whole)
        loop = asyncio.get_running_loop()
        if insert is not None:
            return await loop.run_in_executor(self._inserts, self._insert, insert, whole, fields, request)
        pool = self._inserts if whole.lstrip()[:6].upper() == b"INSERT" else self._queries
        return await loop.run_in_executor(pool, self._query, whole, fields, request)

    def _insert(
        self, insert: Insert, body: bytes, fields: Mapping[str, str], request: HttpRequest
    ) -> HttpResponse:
        """Runs in a thread."""
        result = self._engine.connection().insert(
            insert.text,
            insert.format,
            body[insert.data_at :],
            _settings(fields),
            fields.get("database", "default"),
        )
        return _success(result, "", fields, request)

    def _query(self, body: bytes, fields: Mapping[str, str], request: HttpRequest) -> HttpResponse:
        """Runs in a thread."""
        text = body.decode("utf-8", "replace").strip()
        if not text:
            raise EngineError.make(62, "Syntax error: Empty query. (SYNTAX_ERROR)")
        default = request.headers.get("x-clickhouse-format", fields.get("default_format", "TabSeparated"))
        parameters = {name[6:]: value for name, value in fields.items() if name.startswith("param_")}
        settings = _settings(fields)
        if request.method != "POST":
            settings["readonly"] = "2"
        result = self._engine.connection().run(
            text, default, parameters, settings, fields.get("database", "default")
        )
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

"""The store process as ClickHouse's clients see it: over its socket, with an unchanged client and without."""

import base64
import contextlib
import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import clickhouse_connect
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.backend.stores.running_store import RunningStore


@pytest.fixture
def client(store: RunningStore) -> Iterator[Client]:
    """`clickhouse-connect` as anybody would use it."""
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=store.port, username="heli", password=store.password
    )
    yield client
    client.close()


@pytest.fixture
def table(client: Client, request: pytest.FixtureRequest) -> str:
    name = f"t_{abs(hash(request.node.name))}"
    client.command(
        f"CREATE TABLE {name} (a UInt64, b Nullable(String)) ENGINE = MergeTree ORDER BY a"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    return name


def ask(store: RunningStore, sql: str, **parameters: Any) -> tuple[int, dict[str, str], bytes]:
    query = "?" + urlencode(parameters) if parameters else ""
    return store.call("POST", "/" + query, sql.encode(), store.identity())


# With the client.


def test_an_unchanged_client_pings_queries_and_inserts(client: Client, table: str) -> None:
    assert client.ping()

    summary = client.insert(table, [[1, "one"], [2, None]], column_names=["a", "b"])

    assert summary.written_rows == 2
    assert client.query(f"SELECT * FROM {table} ORDER BY a").result_rows == [(1, "one"), (2, None)]
    assert client.command(f"SELECT count() FROM {table}") == 2


@pytest.mark.parametrize("coding", ["lz4", "zstd", "gzip", False])
def test_bodies_may_be_compressed_both_ways(store: RunningStore, table: str, coding: str | bool) -> None:
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=store.port, username="heli", password=store.password, compress=coding
    )
    rows = [[number, "text " * 10] for number in range(5000)]

    client.insert(table, rows, column_names=["a", "b"])

    assert client.query(f"SELECT * FROM {table} ORDER BY a").result_rows == [tuple(row) for row in rows]
    client.close()


def test_parameters_are_bound_by_the_engine(client: Client) -> None:
    text = "it's {x:Int8} \\ \n 🎈"

    result = client.query(
        "SELECT {text:String} AS text, {list:Array(UInt64)} AS list, {none:Nullable(String)} AS none",
        parameters={"text": text, "list": [1, 2**63], "none": None},
    )

    assert result.result_rows == [(text, [1, 2**63], None)]


def test_settings_hold_for_one_call(client: Client) -> None:
    sql = "SELECT getSetting('max_block_size') AS size"

    usual = client.query(sql).first_row
    special = client.query(sql, settings={"max_block_size": 1234}).first_row

    assert special == (1234,)
    assert client.query(sql).first_row == usual


def test_the_same_token_is_stored_once(client: Client, table: str) -> None:
    for _ in range(2):
        client.insert(
            table, [[1, "x"]], column_names=["a", "b"], settings={"insert_deduplication_token": "t"}
        )

    assert client.command(f"SELECT count() FROM {table}") == 1


def test_a_wide_query_goes_as_a_form(store: RunningStore) -> None:
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=store.port, username="heli", password=store.password,
        form_encode_query_params=True,
    )  # fmt: skip
    numbers = list(range(100_000))

    result = client.query("SELECT sum(x) FROM (SELECT arrayJoin({n:Array(UInt64)}) AS x)", {"n": numbers})

    assert result.first_row == (sum(numbers),)
    client.close()


def test_an_empty_result_and_its_columns(client: Client) -> None:
    assert client.query("SELECT 1 AS one WHERE 0").result_rows == []
    assert client.query("SELECT 1 AS one LIMIT 0").column_names == ("one",)


# Errors.


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT nothing_such", 404, 47),
        ("SELEC 1", 400, 62),
        ("", 400, 62),
        ("SELECT * FROM nothing_such", 404, 60),
        ("SELECT 1; SELECT 2", 400, 62),
        ("SELECT throwIf(1)", 500, 395),
        ("SELECT 1 SETTINGS nothing_such = 1", 404, 115),
        ("INSERT INTO nothing_such FORMAT CSV\n1", 404, 60),
    ],
)
def test_errors_are_told_as_clickhouse_tells_them(
    store: RunningStore, sql: str, status: int, code: int
) -> None:
    answer, headers, body = ask(store, sql)

    assert (answer, headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert body.startswith(b"Code: %d. DB::Exception: " % code)


def test_a_bad_insert_stores_nothing_and_the_next_one_works(
    client: Client, store: RunningStore, table: str
) -> None:
    for broken in (b"junk", b"\x02\x02\x01a\x06UInt64"):
        status, _, _ = store.call(
            "POST", "/?query=" + quote(f"INSERT INTO {table} FORMAT Native"), broken, store.identity()
        )
        assert status in {400, 500}

    client.insert(table, [[1, "x"]], column_names=["a", "b"])

    assert client.query(f"SELECT * FROM {table}").result_rows == [(1, "x")]


def test_settings_and_databases_cannot_smuggle_sql(store: RunningStore) -> None:
    assert ask(store, "SELECT 1", **{"max_threads = 1, readonly": "1"})[0] == 404
    assert ask(store, "SELECT 1", database="heli; DROP DATABASE heli")[0] == 404
    odd = "a' || 'b"
    sql = "SELECT getSetting('log_comment') = {odd:String}"
    assert ask(store, sql, log_comment=odd, param_odd=odd)[2] == b"1\n"


def test_what_a_call_sets_is_gone_after_it(store: RunningStore) -> None:
    before = ask(store, "SELECT getSetting('max_block_size'), currentDatabase()")[2]
    for sql in ("SET max_block_size = 77", "USE system", "CREATE TEMPORARY TABLE t (x Int8)"):
        for _ in range(8):
            assert ask(store, sql)[0] == 200

    for _ in range(8):
        assert ask(store, "SELECT getSetting('max_block_size'), currentDatabase()")[2] == before
        assert ask(store, "SELECT * FROM t")[0] == 404


def test_get_only_reads(store: RunningStore, client: Client, table: str) -> None:
    def get(sql: str) -> int:
        return store.call("GET", "/?query=" + quote(sql), headers=store.identity())[0]

    assert get(f"SELECT * FROM {table}") == 200
    assert get(f"DROP TABLE {table}") == 500
    assert get(f"INSERT INTO {table} SELECT 1, ''") == 500
    assert client.query(f"SELECT * FROM {table}").result_rows == []


def test_a_call_may_bind_itself_to_reading(store: RunningStore, client: Client, table: str) -> None:
    status, headers, _ = ask(store, f"TRUNCATE TABLE {table}", readonly="1", max_result_rows="5")

    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert client.insert(table, [[1, "x"]], column_names=["a", "b"]).written_rows == 1


def test_text_that_is_no_utf8_costs_its_own_call_only(store: RunningStore) -> None:
    assert ask(store, "SELECT 1")[0] == 200
    for body in (b"INSERT INTO t\xff FORMAT CSV\n1", b"SELECT '\xff' AS x, nothing_such"):
        status, _, told = store.call("POST", "/", body, store.identity())
        assert status >= 400
        assert told.startswith(b"Code: ")
    assert ask(store, "SELECT 1")[0] == 200


# Who may.


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "194"),
        ({"Authorization": "Basic !"}, 403, "516"),
        ({"Authorization": "Basic " + base64.b64encode(b"heli:wrong").decode()}, 403, "516"),
        ({"X-ClickHouse-User": "heli", "X-ClickHouse-Key": ""}, 403, "516"),
        ({"X-ClickHouse-User": "default"}, 403, "516"),
        ({"Authorization": "Bearer x"}, 401, "194"),
    ],
)
def test_without_the_password_nothing_is_told(
    store: RunningStore, headers: dict[str, str], status: int, code: str
) -> None:
    answer, told, body = store.call("POST", "/", b"SELECT 'secret'", headers)

    assert (answer, told["X-ClickHouse-Exception-Code"]) == (status, code)
    assert b"secret" not in body


@pytest.mark.parametrize("way", ["basic", "headers", "address"])
def test_the_password_may_come_in_three_ways(store: RunningStore, way: str) -> None:
    basic = base64.b64encode(f"heli:{store.password}".encode()).decode()
    headers = {"basic": {"Authorization": f"Basic {basic}"}, "headers": store.identity(), "address": {}}[way]
    address = f"/?user=heli&password={store.password}" if way == "address" else "/"

    assert store.call("POST", address, b"SELECT 7", headers)[2] == b"7\n"


def test_a_big_body_of_a_stranger_is_not_kept(store: RunningStore) -> None:
    status, _, _ = store.call("POST", "/", b"x" * 20_000_000, {"X-ClickHouse-User": "stranger"})

    assert status == 403


def test_ping_needs_no_password(store: RunningStore) -> None:
    assert store.call("GET", "/ping")[::2] == (200, b"Ok.\n")
    assert store.call("GET", "/")[::2] == (200, b"Ok.\n")


def test_an_unknown_path_is_not_found(store: RunningStore) -> None:
    assert store.call("GET", "/dashboard")[0] == 404


# Answers.


def test_an_answer_tells_its_format_and_what_it_took(store: RunningStore) -> None:
    status, headers, body = ask(store, "SELECT 1 AS x FORMAT JSONEachRow", query_id="mine")

    assert (status, body) == (200, b'{"x":1}\n')
    assert headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert headers["X-ClickHouse-Query-Id"] == "mine"
    assert headers["X-ClickHouse-Timezone"] == "UTC"
    assert json.loads(headers["X-ClickHouse-Summary"])["read_rows"] == "1"


def test_the_default_format_is_clickhouses(store: RunningStore) -> None:
    assert ask(store, "SELECT 1, 'a'")[2] == b"1\ta\n"
    assert ask(store, "SELECT 1, 'a'", default_format="CSV")[2] == b'1,"a"\n'


@pytest.mark.parametrize(("coding", "decode"), [("gzip", gzip.decompress), ("zstd", zstandard.decompress)])
def test_an_answer_is_compressed_when_it_is_asked_for(store: RunningStore, coding: str, decode: Any) -> None:
    headers = store.identity() | {"Accept-Encoding": coding}

    _, plain_headers, plain = store.call("POST", "/", b"SELECT range(9999)", headers)
    _, told, body = store.call("POST", "/?enable_http_compression=1", b"SELECT range(9999)", headers)

    assert "Content-Encoding" not in plain_headers
    assert told["Content-Encoding"] == coding
    assert decode(body) == plain


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", b"junk"), ("gzip", gzip.compress(b"SELECT 1")[:-9]), ("zstd", b"junk"), ("lz4", b"junk"),
     ("lz4", lz4.frame.compress(b"SELECT 1")[:-5]), ("br", b"junk")],
)  # fmt: skip
def test_a_broken_coding_is_refused(store: RunningStore, coding: str, body: bytes) -> None:
    status, headers, _ = store.call("POST", "/", body, store.identity() | {"Content-Encoding": coding})

    assert status in {500, 501}
    assert headers["X-ClickHouse-Exception-Code"] in {"271", "48"}


def test_head_and_body_come_at_once_and_connections_are_kept(store: RunningStore) -> None:
    with socket.create_connection(("127.0.0.1", store.port), timeout=10) as raw:
        for _ in range(3):
            raw.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert raw.recv(65_536).endswith(b"\r\n\r\nOk.\n")


def test_requests_sent_behind_each_other_are_answered_in_order(store: RunningStore) -> None:
    head = f"X-ClickHouse-User: heli\r\nX-ClickHouse-Key: {store.password}\r\n"
    calls = [f"POST / HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 8\r\n\r\nSELECT {n}" for n in range(4)]
    with socket.create_connection(("127.0.0.1", store.port), timeout=10) as raw:
        raw.sendall("".join(calls).encode())
        told = b""
        while told.count(b"HTTP/1.1 200") < 4 or not told.endswith(b"3\n"):
            told += raw.recv(65_536)

    assert [told.index(f"\r\n\r\n{n}\n".encode()) for n in range(4)] == sorted(
        told.index(f"\r\n\r\n{n}\n".encode()) for n in range(4)
    )


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"X-Y: " + b"z" * 100_000 + b"\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", b"413"),
    ],
)
def test_what_is_too_long_or_no_http_is_refused(store: RunningStore, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", store.port), timeout=10) as raw:
        with contextlib.suppress(ConnectionError):  # it may hang up while we still talk
            raw.sendall(sent)
        try:
            told = raw.recv(100)
        except ConnectionError:
            told = b"HTTP/1.1 " + status
    assert told.startswith(b"HTTP/1.1 " + status)


def test_after_an_empty_answer_it_rests_and_lets_the_connection_go(store: RunningStore) -> None:
    assert store.process is not None
    resources = resources_of(store.process.pid)
    ask(store, "SET max_threads = 1")
    open_files = resources()[0]

    for _ in range(20):
        assert ask(store, "SET max_threads = 1")[2] == b""
    wait_until(lambda: resources()[0] <= open_files)

    with socket.create_connection(("127.0.0.1", store.port), timeout=10) as kept:
        head = f"X-ClickHouse-User: heli\r\nX-ClickHouse-Key: {store.password}\r\n"
        kept.sendall(f"POST /?query=SET+max_threads=1 HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n".encode())
        assert kept.recv(65_536).startswith(b"HTTP/1.1 200")
        before = resources()[1]
        time.sleep(1)
        assert resources()[1] - before < 0.5


def resources_of(process_id: int) -> Callable[[], tuple[int, float]]:
    """Tells `(open files, seconds of processor time)` of a process."""
    folder = Path(f"/proc/{process_id}")

    def tell() -> tuple[int, float]:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return len(list((folder / "fd").iterdir())), ticks / os.sysconf("SC_CLK_TCK")

    return tell


# Side by side.


def test_queries_run_side_by_side(store: RunningStore) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(store, "SELECT sleep(1)")[0], range(4)))

    assert answers == [200] * 4
    assert time.monotonic() - began < 3.5


def test_an_insert_does_not_wait_for_slow_queries(store: RunningStore, client: Client, table: str) -> None:
    slow = [threading.Thread(target=ask, args=(store, "SELECT sleep(3)")) for _ in range(12)]
    for thread in slow:
        thread.start()
    wait_until(lambda: running(client, "sleep(3)") >= 1)
    began = time.monotonic()

    ask(store, f"INSERT INTO {table} FORMAT CSV\n1,x\n")

    assert time.monotonic() - began < 2
    for thread in slow:
        thread.join()


def test_a_query_whose_caller_hangs_up_is_broken_off(store: RunningStore, client: Client) -> None:
    sql = (
        b"SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sleepEachRow(0.0001))"
        b" SETTINGS max_block_size = 1000 -- lost"
    )
    head = f"POST / HTTP/1.1\r\nX-ClickHouse-User: heli\r\nX-ClickHouse-Key: {store.password}\r\n"
    with socket.create_connection(("127.0.0.1", store.port)) as raw:
        raw.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(sql) + sql)
        wait_until(lambda: running(client, "-- lost") == 1)

    wait_until(lambda: running(client, "-- lost") == 0)


def running(client: Client, text: str) -> int:
    return client.query(
        "SELECT count() FROM system.processes WHERE position(query, {text:String}) > 0"
        " AND query NOT LIKE '%system.processes%'",
        {"text": text},
    ).first_row[0]


def wait_until(condition: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


# Confined.


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file('/etc/passwd')",
        "SELECT file('/proc/self/environ')",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT 1 INTO OUTFILE '/tmp/heli-was-not-confined.csv'",
        "DESCRIBE url('http://127.0.0.1:{port}/ping', 'CSV')",
        "SELECT * FROM url('http://127.0.0.1:{port}/ping', 'LineAsString')",
        "SELECT * FROM file('{password}', 'LineAsString')",
    ],
)
def test_sql_reaches_no_file_outside_the_log_and_no_network(store: RunningStore, sql: str) -> None:
    sql = sql.replace("{port}", str(store.port)).replace("{password}", str(store.loaded.paths.store_password))

    status, _, body = ask(store, sql)

    assert status != 200
    assert b"Ok." not in body
    assert b"ermission denied" in body


def test_a_wrong_password_has_clickhouses_code_in_the_client(store: RunningStore) -> None:
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        clickhouse_connect.get_client(host="127.0.0.1", port=store.port, username="heli", password="no")

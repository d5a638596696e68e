"""Who may call at all: this machine's programs and pages, with the right token and no giant bodies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from heli.backend.api.guard import MAX_BODY_BYTES, ForeignError, check_origin
from tests.backend.backend_builders import AUTHORIZED, a_batch, an_exchange
from tests.backend.conftest import RunningBackend

OURS = ["127.0.0.1", "127.0.0.1:8585", "localhost", "LOCALHOST:8585", "[::1]:8585", "127.8.9.10"]
FOREIGN = [
    "", "example.com", "localhost.example.com", "127.0.0.1.nip.io", "127.0.0.1@example.com",
    "example.com#127.0.0.1", "example.com:80/127.0.0.1", "192.168.1.5", "0.0.0.0", "[::]", "2130706433",
    "localhost:0", "localhost:99999", "local host", "[::1", "127.0.0.1:port", "127.0.0.1?x",
]  # fmt: skip


@pytest.mark.parametrize("host", OURS)
def test_this_machine_may_call(host: str) -> None:
    check_origin(Headers({"host": host}))
    check_origin(Headers({"host": host, "origin": f"http://{host}"}))


@pytest.mark.parametrize("host", FOREIGN)
def test_another_host_may_not(host: str) -> None:
    with pytest.raises(ForeignError):
        check_origin(Headers({"host": host}))


@pytest.mark.parametrize(
    "origin", ["null", "https://example.com", "file://", "http://localhost.example.com", ""]
)
def test_pages_from_elsewhere_may_not(origin: str) -> None:
    with pytest.raises(ForeignError):
        check_origin(Headers({"host": "localhost", "origin": origin}))


@given(st.text(alphabet="0123456789.abcdefx:[]/@%#?\\ ", max_size=30))
def test_no_spelling_of_a_host_does_harm(host: str) -> None:
    try:
        check_origin(Headers(raw=[(b"host", host.encode("latin-1"))]))
    except ForeignError:
        return
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    assert name.startswith(("127.", "["))


@pytest.mark.parametrize(
    "path", ["/healthcheck", "/v1/requests", "/v1/live", "/docs", "/metrics", "/nowhere"]
)
def test_every_route_refuses_foreign_callers(backend: RunningBackend, path: str) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        response = backend.client.get(path, headers=headers)
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "foreign_origin"


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer wrong", "Basic a-token-for-tests", "Bearer \xff"]
)
@pytest.mark.parametrize("path", ["/v1/ingest", "/v1/ingest/live"])
def test_ingest_wants_the_token(backend: RunningBackend, path: str, authorization: str) -> None:
    headers = {"Authorization": authorization.encode("latin-1")}

    response = backend.client.post(path, content=a_batch(an_exchange()), headers=headers)

    assert response.status_code == 401
    assert response.json()["error"]["code"] == "denied"
    assert backend.get("/v1/requests")["requests"] == []


def test_a_batch_that_is_no_batch_is_refused_with_the_reason(backend: RunningBackend) -> None:
    response = backend.post(b"not zstd")

    assert response.status_code == 400
    assert "not zstd" in response.json()["error"]["message"]


def test_a_batch_beyond_the_limit_is_too_large(backend: RunningBackend) -> None:
    big = an_exchange(response_body=b"\0" * 4_000_001)

    for body in (b"\0" * 4_000_001, a_batch(big)):
        assert backend.post(body).status_code == 413


def test_a_body_that_hides_its_length_is_cut_off(backend: RunningBackend) -> None:
    chunks = (b"x" * 1_000_000 for _ in range(5))

    response = backend.client.post("/v1/ingest", content=chunks, headers=AUTHORIZED)

    assert response.status_code == 413


def test_a_long_call_is_refused_before_it_is_read(backend: RunningBackend) -> None:
    response = backend.client.post("/v1/request/query-clickhouse", content=b"[" * (MAX_BODY_BYTES + 1))

    assert response.status_code == 413


def test_nothing_is_said_about_routes_that_are_not(backend: RunningBackend) -> None:
    for method, path, status in (("GET", "/v1/nothing", 404), ("DELETE", "/v1/requests", 405)):
        response = backend.client.request(method, path)
        assert response.status_code == status
        assert response.json()["error"]["message"]

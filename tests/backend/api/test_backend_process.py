"""The backend's life: it waits for its store, heals when that comes back, feeds listeners, and drains."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import zstandard

from heli.schema.errors import ExitCode
from heli.schema.exchange import Direction, Exchange, Grown, Opened, Outcome, encode_exchanges
from tests.backend.api.running_backend import BackendProcess, running
from tests.backend.backend_builders import AUTHORIZED, a_batch, a_question, an_exchange
from tests.backend.stores.running_store import RunningStore


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[RunningStore]:
    """A store that is not running yet, and is gone at the end."""
    store = RunningStore(tmp_path / "home")
    yield store
    if store.process is not None and store.process.poll() is None:
        store.kill()


def send(backend: BackendProcess, *exchanges: Exchange) -> httpx.Response:
    return backend.client.post("/v1/ingest", content=a_batch(*exchanges), headers=AUTHORIZED)


def count(backend: BackendProcess) -> int:
    answer = backend.client.post("/v1/request/count/query", json={"filter": "all"})
    number: int = answer.json()["data"]
    return number


def test_it_waits_for_its_store_and_heals_with_it(own_store: RunningStore) -> None:
    first, second = an_exchange(), an_exchange()
    with running(own_store) as backend:
        assert backend.status("/readyz") == 503
        refused = send(backend, first)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "unreachable"

        own_store.start()
        backend.wait(lambda: backend.status("/readyz") == 200)
        assert send(backend, first).json()["stored"] == 1

        own_store.kill()
        assert send(backend, second).status_code == 503
        assert backend.status("/v1/requests") == 503
        assert backend.status("/readyz") == 503
        assert backend.status("/healthcheck") == 200

        own_store.start()
        backend.wait(lambda: send(backend, first, second).status_code == 200)
        assert count(backend) == 2
        assert backend.stop()[0] == ExitCode.OK


def test_a_taken_port_is_told_in_one_sentence(own_store: RunningStore) -> None:
    with running(own_store) as backend:
        second = BackendProcess(own_store, backend.port)
        process = second.launch()
        _, told = process.communicate(timeout=60)

    assert process.returncode == ExitCode.CONFLICT
    assert f"port {backend.port} is taken" in told
    assert "Traceback" not in told


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def tell_live(backend: BackendProcess, *records: Opened | Grown) -> None:
    body = zstandard.compress(encode_exchanges(list(records)))
    assert backend.client.post("/v1/ingest/live", content=body, headers=AUTHORIZED).status_code == 204


def in_flight(done: Exchange) -> Exchange:
    """The same call before anything was answered."""
    return msgspec.structs.replace(
        done,
        outcome=Outcome.INTERRUPTED,
        response_status=None,
        response_body=b"",
        response_headers=[],
        end_us=None,
    )


def streamed(text: str) -> bytes:
    piece = {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: %b\n\n" % json.dumps(piece).encode()


def test_the_live_feed_tells_a_call_from_beginning_to_end(own_store: RunningStore) -> None:
    own_store.start()
    with running(own_store) as backend:
        backend.wait(lambda: backend.status("/readyz") == 200)
        done = an_exchange(request_body=a_question("How are you?", stream=True))
        begun = in_flight(done)
        head = Grown(
            id=begun.id,
            direction=Direction.RESPONSE,
            data=streamed("Very well"),
            chunks=[(200_000, 100)],
            response_status=200,
            response_headers=[(b"Content-Type", b"text/event-stream")],
            first_byte_us=200_000,
        )
        with (
            backend.client.stream("GET", "/v1/live") as feed,
            httpx.Client(base_url=backend.client.base_url) as other,
        ):
            told = events(feed.iter_lines())
            name, totals = next(told)
            assert (name, totals["in_flight"], totals["today_cost_usd"]) == ("totals", 0, 0)
            caller = BackendProcess(own_store, backend.port)
            caller.client = other
            tell_live(caller, Opened(exchange=begun))
            name, event = next((name, event) for name, event in told if name != "totals")
            assert (name, event["call"]["id"]) == ("started", str(begun.request_id))
            assert event["call"]["preview"] == "How are you?"
            tell_live(caller, head)
            name, event = next((name, event) for name, event in told if name != "totals")
            assert (name, event["call"]["preview"], event["call"]["status"]) == (
                "streaming",
                "Very well",
                200,
            )
            assert event["call"]["output_tokens_estimate"] > 0
            assert send(caller, done).json()["stored"] == 1
            assert send(caller, done).json()["duplicates"] == 1
            name, event = next((name, event) for name, event in told if name != "totals")
            assert (name, event["request"]["id"]) == ("finished", str(done.request_id))
            name, totals = next((name, event) for name, event in told)
            assert (name, totals["in_flight"], totals["today_cost_usd"]) == ("totals", 0, 0.00000315)


def test_a_filtered_feed_tells_only_what_matches(own_store: RunningStore) -> None:
    own_store.start()
    with running(own_store) as backend:
        backend.wait(lambda: backend.status("/readyz") == 200)
        wanted = an_exchange(headers=[(b"Helicone-User-Id", b"alice")])
        with (
            backend.client.stream("GET", "/v1/live", params={"filter": "user:alice"}) as feed,
            httpx.Client(base_url=backend.client.base_url) as other,
        ):
            told = events(feed.iter_lines())
            next(told)
            for exchange in (an_exchange(), wanted):
                other.post("/v1/ingest", content=a_batch(exchange), headers=AUTHORIZED)
            name, event = next((name, event) for name, event in told if name != "totals")

            assert (name, event["request"]["id"]) == ("finished", str(wanted.request_id))


def test_a_filtered_feed_tells_of_calls_in_flight(own_store: RunningStore) -> None:
    own_store.start()
    with running(own_store) as backend:
        backend.wait(lambda: backend.status("/readyz") == 200)
        alices, bobs = (
            an_exchange(headers=[(b"Helicone-User-Id", name)], request_body=a_question(stream=True))
            for name in (b"alice", b"bob")
        )
        with (
            backend.client.stream("GET", "/v1/live", params={"filter": "user:alice status:500"}) as feed,
            httpx.Client(base_url=backend.client.base_url) as other,
        ):
            told = ((name, event) for name, event in events(feed.iter_lines()) if name != "totals")
            caller = BackendProcess(own_store, backend.port)
            caller.client = other
            tell_live(caller, *(Opened(exchange=in_flight(done)) for done in (bobs, alices)))
            name, event = next(told)
            assert (name, event["call"]["id"]) == ("started", str(alices.request_id))
            failed = an_exchange(headers=[(b"Helicone-User-Id", b"alice")], response_status=500)
            assert send(caller, bobs, alices, failed).json()["stored"] == 3
            name, event = next(told)
            assert (name, event["call"]["id"]) == ("left", str(alices.request_id))
            name, event = next(told)
            assert (name, event["request"]["id"]) == ("finished", str(failed.request_id))


def test_a_listener_does_not_hold_up_the_end(own_store: RunningStore) -> None:
    with running(own_store) as backend, backend.client.stream("GET", "/v1/live") as feed:
        lines = feed.iter_lines()
        next(lines)
        began = time.monotonic()
        assert backend.process is not None
        backend.process.terminate()
        rest = list(lines)

        _, told = backend.process.communicate(timeout=60)
        assert backend.process.returncode == ExitCode.OK, told
        assert time.monotonic() - began < 10, (rest, told)

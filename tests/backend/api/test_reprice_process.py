"""Pricing the log again in a backend of its own, which is killed on the way, or left by who asked."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backend.api.running_backend import BackendProcess, running
from tests.backend.backend_builders import AUTHORIZED, a_batch, an_exchange
from tests.backend.stores.running_store import RunningStore

CALLS = 900
ONE_CALL = Decimal("0.00000315")
TABLE = {
    "name": "double.toml",
    "text": '[[price]]\nprovider = "OPENAI"\nmodel = "*"\ninput = 0.30\noutput = 1.20\n',
}


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[BackendProcess]:
    """A backend on a store of its own, with calls in it."""
    store = RunningStore(tmp_path)
    store.start()
    try:
        with running(store) as backend:
            backend.wait(lambda: backend.status("/readyz") == 200)
            batch = a_batch(*[an_exchange() for _ in range(CALLS)])
            backend.client.post("/v1/ingest", content=batch, headers=AUTHORIZED).raise_for_status()
            yield backend
    finally:
        store.stop()


def test_killed_on_the_way_it_leaves_right_sums_and_goes_on(backend: BackendProcess) -> None:
    with pytest.raises(httpx.TransportError):
        kill_when_something_is_written(backend)
    start_again(backend)
    requests, halfway = spent(backend)
    assert requests == CALLS
    assert CALLS * ONE_CALL < halfway < 2 * CALLS * ONE_CALL

    *_, (name, report) = a_run(backend)

    assert name == "done"
    assert report["rewritten_requests"] == 2 * CALLS - halfway / ONE_CALL
    assert spent(backend) == (CALLS, 2 * CALLS * ONE_CALL)


def test_who_hangs_up_stops_it_and_may_start_it_again(backend: BackendProcess) -> None:
    run = a_run(backend)
    while not next(run)[1].get("written"):
        pass
    run.close()

    def is_done() -> bool:
        """Refused as long as the step at hand has not ended."""
        try:
            return [name for name, _ in a_run(backend)][-1] == "done"
        except httpx.HTTPStatusError as error:
            return error.response.status_code != 409

    backend.wait(is_done)

    assert spent(backend) == (CALLS, 2 * CALLS * ONE_CALL)


def a_run(backend: BackendProcess) -> Iterator[tuple[str, dict[str, Any]]]:
    asked = {"table": TABLE, "write": True}
    with backend.client.stream("POST", "/v1/reprice", json=asked) as response:
        response.raise_for_status()
        name = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line:
                yield name, json.loads(line.removeprefix("data: "), parse_float=Decimal)


def spent(backend: BackendProcess) -> tuple[int, Decimal]:
    answer = backend.client.get("/v1/costs")
    total = json.loads(answer.text, parse_float=Decimal)["total"]
    return total["requests"], Decimal(total["cost_usd"])


def kill_when_something_is_written(backend: BackendProcess) -> None:
    for name, event in a_run(backend):
        if name == "progress" and event["written"]:
            assert backend.process is not None
            backend.process.kill()
            backend.process.communicate()


def start_again(backend: BackendProcess) -> None:
    backend.start()
    backend.wait(lambda: backend.status("/readyz") == 200)

"""What the API says about itself: OpenAPI, health, metrics."""

from typing import Any

import pytest

from tests.backend.backend_builders import an_exchange
from tests.backend.conftest import RunningBackend


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{m} {path}", op) for path, methods in document["paths"].items() for m, op in methods.items()]


def test_every_operation_is_described(backend: RunningBackend) -> None:
    document = backend.get("/openapi.json")

    assert len(operations(document)) >= 14
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        answers = [code for code in operation["responses"] if code.startswith("2")]
        assert answers, name


def test_every_reference_leads_somewhere(backend: RunningBackend) -> None:
    document = backend.get("/openapi.json")
    known = document["components"]["schemas"]

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [ref for value in part.values() for ref in references(value)]
        return [ref for value in part for ref in references(value)] if isinstance(part, list) else []

    names = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert {
        "Request",
        "Page",
        "CostReport",
        "ExchangeView",
        "Conversation",
        "LiveEvent",
        "HeliconeRequest",
    } <= names
    assert names <= set(known)


def test_money_is_a_number(backend: RunningBackend) -> None:
    schemas = backend.get("/openapi.json")["components"]["schemas"]

    assert {"type": "number"} in schemas["Request"]["properties"]["cost_usd"]["anyOf"]


def test_helicone_clients_find_the_document_at_their_place(backend: RunningBackend) -> None:
    assert backend.get("/download/swagger.json") == backend.get("/openapi.json")
    assert backend.client.get("/docs").status_code == 200


def test_health(backend: RunningBackend) -> None:
    assert backend.get("/healthcheck") == {"status": "ok"}
    assert backend.get("/readyz") == {"status": "ok"}


@pytest.mark.parametrize(
    "line",
    [
        'heli_ingest_exchanges_total{result="stored"} 2.0',
        'heli_ingest_exchanges_total{result="duplicate"} 1.0',
        "heli_ingest_batch_seconds_count 2.0",
        'heli_api_seconds_count{method="GET",route="/v1/requests/{ref}",status="404"} 1.0',
        'heli_api_seconds_count{method="GET",route="none",status="404"} 1.0',
        "heli_calls_in_flight 0.0",
        "heli_ready 1.0",
    ],
)
def test_metrics_count_what_happened(backend: RunningBackend, line: str) -> None:
    exchange = an_exchange()
    backend.send(exchange, an_exchange())
    backend.send(exchange)
    backend.get("/v1/requests/@-9", 404)
    backend.get("/v1/nothing", 404)

    assert line in backend.client.get("/metrics").text.splitlines()

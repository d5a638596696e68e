"""heli's own client reads what the API answers, to the last digit."""

from decimal import Decimal

import httpx
import pytest

from heli.client import Client
from heli.schema.errors import NotFoundError, UsageError
from tests.backend.backend_builders import an_exchange
from tests.backend.conftest import RunningBackend


@pytest.fixture
def client(backend: RunningBackend) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        response = backend.client.request(request.method, str(request.url))
        return httpx.Response(response.status_code, content=response.content)

    return Client("http://127.0.0.1:8585", transport=httpx.MockTransport(answer))


def test_the_client_reads_every_answer(backend: RunningBackend, client: Client) -> None:
    exchange = an_exchange()
    backend.send(exchange, an_exchange())

    page = client.requests("status:200", limit=1, order="oldest")
    (request,) = page.requests
    assert (request.id, request.cost_usd) == (exchange.request_id, Decimal("0.00000315"))
    assert page.next_cursor is not None
    assert len(list(client.every_request())) == 2
    assert client.request(str(exchange.request_id)) == request
    assert client.exchange("@-2").request_body == exchange.request_body.decode()
    assert client.conversation("@last").reply[0].parts[0].text == "Hi!"
    report = client.costs(["model", "hour"], time_zone="Asia/Kathmandu")
    assert report.total.cost_usd == Decimal("0.0000063")
    assert report.rows[0].keys["model"] == "gpt-4o-mini-2024-07-18"


def test_errors_arrive_as_what_they_are(client: Client) -> None:
    with pytest.raises(NotFoundError, match="there is no request @last"):
        client.request("@last")
    with pytest.raises(UsageError, match="no reference"):
        client.request("x")
    with pytest.raises(UsageError, match="nonsense"):
        client.requests("nonsense:1")

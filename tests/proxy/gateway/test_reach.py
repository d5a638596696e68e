"""How far a call got, over real sockets, and what that makes of its cost."""

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest

from heli.providers import PriceBook, interpret
from heli.schema.exchange import Exchange, Listener, Opened, Outcome, Reach
from heli.schema.usage import CostState
from tests.conftest import find_free_ports
from tests.proxy.gateway.running import RunningGateway, a_call, running_gateway
from tests.rel.heli_under_test import wait_until
from tests.standin import StandIn

QUESTION = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'


def _call(gateway: RunningGateway, *headers: str, listener: Listener = Listener.OPENAI) -> Exchange:
    with gateway.connect(listener) as wire:
        wire.send(a_call(QUESTION, headers=(*headers, "Connection: close")))
        wire.read_all()
    (exchange,) = gateway.exchanges(1)
    return exchange


def _cost_state(exchange: Exchange) -> CostState:
    return interpret(exchange, PriceBook.load()).cost.state


def _target(url: str) -> str:
    return f"Helicone-Target-Url: {url}"


@pytest.mark.parametrize("kind", ["refused by heli", "no such name", "connection refused", "no TLS"])
def test_a_call_that_reached_nobody_is_free(standin: StandIn, kind: str) -> None:
    target = {
        "refused by heli": "http://10.1.2.3",
        "no such name": "http://nobody.invalid",
        "connection refused": f"http://127.0.0.1:{find_free_ports(1)[0]}",
        "no TLS": f"https://127.0.0.1:{standin.port}",
    }[kind]
    with running_gateway(standin, allow_targets=["127.0.0.1", "nobody.invalid"]) as gateway:
        exchange = _call(gateway, _target(target), listener=Listener.GATEWAY)

    assert exchange.outcome in (Outcome.REFUSED, Outcome.UPSTREAM_ERROR)
    assert exchange.reach is Reach.NOT_SENT
    assert _cost_state(exchange) is CostState.FREE


def test_a_connection_that_is_not_accepted_in_time_is_free(standin: StandIn) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf, _full(deaf):
        target = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with running_gateway(standin, allow_targets=["127.0.0.1"], connect_timeout_s=0.3) as gateway:
            exchange = _call(gateway, _target(target), listener=Listener.GATEWAY)

    assert (exchange.outcome, exchange.reach) == (Outcome.TIMEOUT, Reach.NOT_SENT)
    assert _cost_state(exchange) is CostState.FREE


@contextlib.contextmanager
def _full(server: socket.socket) -> Iterator[None]:
    """So many connections that the next one waits."""
    with contextlib.ExitStack() as held:
        for _ in range(8):
            caller = held.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        yield


def test_a_call_still_to_be_sent_is_not_called_unsent_in_the_spool(standin: StandIn) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf, _full(deaf):
        target = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with running_gateway(standin, allow_targets=["127.0.0.1"], connect_timeout_s=0.3) as gateway:
            _call(gateway, _target(target), listener=Listener.GATEWAY)
            opened = gateway.spool.records[0]

    assert isinstance(opened, Opened)
    assert opened.exchange.reach is None


@pytest.mark.parametrize("drop", ["before_head", "mid_head"])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_provider_that_drops_a_call_which_it_has_may_bill_it(
    gateway: RunningGateway, drop: str, how: str
) -> None:
    exchange = _call(gateway, f"x-standin: {json.dumps({'drop': drop, 'drop_with': how})}")

    assert (exchange.outcome, exchange.response_status) == (Outcome.UPSTREAM_ERROR, 502)
    assert exchange.reach is Reach.SENT
    assert _cost_state(exchange) is CostState.UNKNOWN


@pytest.mark.parametrize(
    ("status", "state"), [(429, CostState.FREE), (529, CostState.FREE), (502, CostState.UNKNOWN)]
)
def test_an_answer_of_the_provider_is_told_from_one_of_heli(
    gateway: RunningGateway, status: int, state: CostState
) -> None:
    exchange = _call(gateway, f"x-standin: {json.dumps({'status': status})}")

    assert (exchange.outcome, exchange.response_status) == (Outcome.COMPLETE, status)
    assert exchange.reach is Reach.ANSWERED
    assert _cost_state(exchange) is state


def test_a_caller_who_leaves_a_call_that_went_out_leaves_its_cost_unknown(
    gateway: RunningGateway, standin: StandIn
) -> None:
    with gateway.connect() as wire:
        wire.send(a_call(QUESTION, headers=('x-standin: {"stall_s": 30, "stall_at": "head"}',)))
        wait_until(standin.journal, 5, "the call at the provider")
    (exchange,) = gateway.exchanges(1)

    assert (exchange.outcome, exchange.reach) == (Outcome.CLIENT_ABORTED, Reach.SENT)
    assert _cost_state(exchange) is CostState.UNKNOWN

"""Behind a company's proxy, names that this machine does not know are for the proxy to know."""

import asyncio
import socket
from collections.abc import Iterator
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import pytest

from heli.proxy.gateway import connecting
from heli.proxy.gateway.call import Call
from heli.proxy.gateway.connecting import UNKNOWN_FOR_S, Connector
from heli.proxy.gateway.connection import Outbox
from heli.proxy.gateway.counters import Counters
from heli.proxy.gateway.outside import Outside
from heli.proxy.gateway.targets import Target, TargetRefusedError, Targets
from heli.proxy.gateway.upstream import Pool
from heli.proxy.outbound_proxy import OutboundProxies
from heli.schema.exchange import Outcome
from tests.proxy.intercept.world import CompanyProxy, serve_pages


class Loop(asyncio.SelectorEventLoop):
    """Its clock can be put forward."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class Names(Targets):
    """What this machine knows of names: a private address, none, or no answer for long."""

    def __init__(self, known: dict[str, str]) -> None:
        super().__init__({}, (), ())
        self.asked: list[str] = []
        self._names = known

    async def resolve(self, target: Target) -> list[str]:
        self.asked.append(target.host)
        if target.host == "slow.example":
            await asyncio.Event().wait()
        if target.host not in self._names:
            raise socket.gaierror("unknown")
        raise TargetRefusedError("private")


class Told:
    """Stands for a call: what became of it."""

    def __init__(self, host: str) -> None:
        target = Target(f"http://{host}", host, 80, is_tls=False, is_trusted=False)
        self.outgoing = SimpleNamespace(target=target)
        self.end = ""

    def connected(self, upstream: Any) -> None:
        self.end = "connected"
        upstream.abort()

    def refuse(self, refused: TargetRefusedError) -> None:
        self.end = "refused"

    def fail(self, status: HTTPStatus, outcome: Outcome, reason: str) -> None:
        self.end = reason


class Behind:
    """A connector behind a proxy that knows every name."""

    def __init__(self, proxy: CompanyProxy) -> None:
        self.proxy = proxy
        self.names = Names({"private.example": "10.0.0.1"})
        self._runner = asyncio.Runner(loop_factory=Loop)
        self.loop = cast(Loop, self._runner.get_loop())
        counters = Counters()
        pool = Pool(counters, Outbox(self.loop, lambda where: None), 0.0)
        outside = Outside(OutboundProxies({"HTTP_PROXY": proxy.url}), [])
        self._connector = Connector(self.names, outside, counters, pool, timeout_s=1.0)

    def call(self, *hosts: str) -> list[str]:
        """What became of a call to each, one after the other."""
        return [self._call(Told(host)) for host in hosts]

    def _call(self, told: Told) -> str:
        self._runner.run(self._connector.serve(cast(Call, told)))
        return told.end

    def close(self) -> None:
        self._runner.close()


@pytest.fixture
def behind() -> Iterator[Behind]:
    with serve_pages() as port, CompanyProxy(port) as proxy:
        behind = Behind(proxy)
        yield behind
        behind.close()


@pytest.mark.parametrize("host", ["unknown.example", "slow.example"])
def test_a_name_that_is_not_known_here_goes_by_the_proxy_and_is_asked_for_once(
    behind: Behind, host: str
) -> None:
    assert behind.call(host, host) == ["connected", "connected"]
    assert behind.proxy.asked == [f"CONNECT {host}:80"] * 2
    assert behind.names.asked == [host]


def test_it_is_asked_for_again_after_a_while(behind: Behind) -> None:
    behind.call("unknown.example")
    behind.loop.ahead_s = UNKNOWN_FOR_S - 1
    behind.call("unknown.example")
    assert behind.names.asked == ["unknown.example"]

    behind.loop.ahead_s = UNKNOWN_FOR_S + 1
    behind.call("unknown.example")
    assert behind.names.asked == ["unknown.example"] * 2


def test_a_name_that_has_become_private_is_refused_then(behind: Behind) -> None:
    behind.call("unknown.example")
    behind.names._names["unknown.example"] = "10.0.0.1"
    behind.loop.ahead_s = UNKNOWN_FOR_S + 1
    assert behind.call("unknown.example") == ["refused"]


def test_a_private_name_is_refused_each_time_and_not_taken_for_unknown(behind: Behind) -> None:
    assert behind.call("private.example", "private.example") == ["refused", "refused"]
    assert behind.proxy.asked == []


def test_no_more_than_so_many_names_are_remembered(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_MOST_UNKNOWN", 2)
    behind.call("a.example", "b.example", "c.example", "c.example", "a.example")
    assert behind.names.asked == ["a.example", "b.example", "c.example", "a.example"]

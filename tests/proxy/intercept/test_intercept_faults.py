"""Whatever of heli's own fails in the interceptor, each call succeeds, and the failure is counted.

The places come from the interceptor's own registry, the hooks from its addons: a new one is covered from its
first day.
"""

import json
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from heli.proxy.intercept.bundle import make_bundle
from heli.proxy.intercept.fault_points import FAULT_POINTS
from tests.proxy.intercept.certificates import Root
from tests.proxy.intercept.rig import Rig, get, running
from tests.proxy.intercept.world import CompanyProxy, serve_pages
from tests.rel.heli_under_test import wait_until
from tests.standin import StandIn

with warnings.catch_warnings(action="ignore"):  # of what mitmproxy imports
    from heli.proxy.intercept.addon import ModelCalls, Tls
    from heli.proxy.intercept.guarded_hooks import hooks_of

CALLS = 5
HOOKS = hooks_of(ModelCalls) + hooks_of(Tls)


@contextmanager
def failing(point: str, folder: Path, standin: StandIn) -> Iterator[tuple[Rig, str]]:
    """OpenAI is behind TLS and a company's proxy, Anthropic is the stand-in; with the roots for clients."""
    root = Root(folder)
    with (
        serve_pages(root.server("api.openai.com")) as port,
        CompanyProxy(port) as world,
        running(
            folder / "heli",
            "",
            HTTPS_PROXY=world.url,
            SSL_CERT_FILE=str(root.file),
            HELI_PROVIDERS__ANTHROPIC__BASE_URL=standin.url,
            HELI_FAULT=point,
        ) as rig,
    ):
        rig.a_run("run-faults01")
        yield rig, str(make_bundle(rig.paths, {"SSL_CERT_FILE": str(root.file)}))


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_calls_succeed_though_heli_fails(point: str, tmp_path: Path, standin: StandIn) -> None:
    """The provider is reached decrypted or not, by the gateway or not: whatever is left."""
    with failing(point, tmp_path, standin) as (rig, bundle):
        for _ in range(CALLS):
            # Without the run's name, so that its process is searched for too.
            told = rig.curl("https://api.openai.com/v1/models", CURL_CA_BUNDLE=bundle)
            assert told.startswith("page of ")
        if point == "metrics":
            assert get(rig.port, "/metrics")[0] == 500
        else:
            wait_until(lambda: rig.metric("own_faults_total"), 5, f"a fault at {point} in the counters")


def test_there_are_hooks_and_points() -> None:
    assert {"requestheaders", "responseheaders", "tls_start_server"} <= set(HOOKS)
    assert not set(HOOKS) & set(FAULT_POINTS)


@pytest.mark.parametrize("hook", HOOKS)
def test_calls_succeed_though_a_hook_fails(hook: str, tmp_path: Path, standin: StandIn) -> None:
    """Calls by the gateway and past it, a WebSocket, a provider's break, a program without heli's root."""
    with failing(hook, tmp_path, standin) as (rig, bundle):
        for _ in range(CALLS):
            assert rig.curl("https://api.openai.com/v1/models", CURL_CA_BUNDLE=bundle).startswith("page of ")
        with connect("wss://api.anthropic.com/v1/echo", ssl=rig.client_tls(), proxy=rig.proxy()) as session:
            for number in range(CALLS):
                session.send(f"frame {number}")
                assert session.recv(timeout=10) == f"frame {number}"
        _break_off(rig)
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(
                rig.tunnel("api.anthropic.com"), server_hostname="api.anthropic.com"
            )
        assert _status_past_the_gateway(rig, bundle) == ("502" if hook == "tls_start_server" else "200")

        wait_until(lambda: rig.metric("own_faults_total"), 5, f"a fault in {hook} in the counters")


def _break_off(rig: Rig) -> None:
    """A call during which the provider resets the connection, which is no failure of heli's."""
    drop = f"x-standin: {json.dumps({'drop': 'mid_sse', 'chunks': 4})}"
    body = json.dumps({"model": "claude", "max_tokens": 9, "stream": True, "messages": []})
    with pytest.raises(RuntimeError, match=r"exit code (18|56)"):
        rig.curl("https://api.anthropic.com/v1/messages", "-H", drop, "--json", body)


def _status_past_the_gateway(rig: Rig, bundle: str) -> str:
    """Where the provider's certificate cannot be verified, the call fails: that alone fails closed."""
    rig.heli.kill("gateway")
    wait_until(lambda: rig.metric("gateway_up") == 0, 5, "the interceptor to notice")
    wanted = ["-o", "/dev/null", "-w", "%{http_code}"]
    return rig.curl("https://api.openai.com/v1/models", *wanted, CURL_CA_BUNDLE=bundle)

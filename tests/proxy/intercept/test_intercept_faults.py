"""Whatever of heli's own fails in the interceptor, each call succeeds, and the failure is counted."""

from pathlib import Path

import pytest

from heli.proxy.intercept.bundle import make_bundle
from heli.proxy.intercept.fault_points import FAULT_POINTS
from tests.proxy.intercept.certificates import Root
from tests.proxy.intercept.rig import get, running
from tests.proxy.intercept.world import CompanyProxy, serve_pages
from tests.rel.heli_under_test import wait_until

CALLS = 5


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_calls_succeed_though_heli_fails(point: str, tmp_path: Path) -> None:
    """The provider is reached decrypted or not, by the gateway or not: whatever is left."""
    root = Root(tmp_path)
    with (
        serve_pages(root.server("api.openai.com", "localhost")) as port,
        CompanyProxy(port) as world,
        running(
            tmp_path / "heli",
            f"https://localhost:{port}",
            HTTPS_PROXY=world.url,
            SSL_CERT_FILE=str(root.file),
            HELI_FAULT=point,
        ) as rig,
    ):
        rig.a_run("run-faults01")
        bundle = str(make_bundle(rig.paths, {"SSL_CERT_FILE": str(root.file)}))
        for _ in range(CALLS):
            # Without the run's name, so that its process is searched for too.
            told = rig.curl("https://api.openai.com/v1/models", CURL_CA_BUNDLE=bundle)
            assert told.startswith("page of ")
        if point == "metrics":
            assert get(rig.port, "/metrics")[0] == 500
        else:
            wait_until(lambda: rig.metric("own_faults_total"), 5, f"a fault at {point} in the counters")

"""A company's proxy leads out: for tunnels, for the gateway's calls, and for those past the gateway."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.proxy.intercept.certificates import Root
from tests.proxy.intercept.rig import Rig, running
from tests.proxy.intercept.world import CompanyProxy, serve_pages, tls_in_front
from tests.rel.heli_under_test import wait_until

OPENAI = "https://api.openai.com/v1/models"


@pytest.fixture
def outside(tmp_path: Path) -> Root:
    return Root(tmp_path)


@pytest.fixture(params=["http", "https"])
def company(request: pytest.FixtureRequest, outside: Root) -> Iterator[CompanyProxy]:
    """It wants to know who asks, and is spoken to over TLS or not; behind it is TLS again."""
    pem = outside.server("api.openai.com", "quiet.example", name="provider")
    with serve_pages(pem) as port, CompanyProxy(port, user="me:secret") as proxy:
        if request.param == "http":
            yield proxy
            return
        with tls_in_front(urlsplit(proxy.url).port or 0, outside.server("localhost", name="proxy")) as tls:
            proxy.url = f"https://me:secret@localhost:{tls}"
            yield proxy


@pytest.fixture
def rig(outside: Root, company: CompanyProxy, tmp_path: Path) -> Iterator[Rig]:
    more = {"HTTPS_PROXY": company.url, "SSL_CERT_FILE": str(outside.file)}
    with running(tmp_path / "heli", "", **more) as rig:
        yield rig


def test_tunnels_go_by_it(rig: Rig, outside: Root, company: CompanyProxy) -> None:
    assert rig.curl("https://quiet.example/", "--cacert", str(outside.file)) == "page of quiet.example"
    assert company.asked == ["CONNECT quiet.example:443"]


def test_calls_go_by_it_with_a_gateway_and_without(rig: Rig, company: CompanyProxy) -> None:
    assert rig.curl(OPENAI) == "page of api.openai.com"
    assert rig.metric("handed_over_total") == 1
    assert company.asked == ["CONNECT api.openai.com:443"]

    rig.heli.kill("gateway")
    wait_until(lambda: rig.metric("gateway_up") == 0, 5, "the interceptor to notice")
    assert rig.curl(OPENAI) == "page of api.openai.com"
    assert rig.metric("sent_directly_total") == 1
    assert company.asked == ["CONNECT api.openai.com:443"] * 2


def test_requests_without_tls_go_by_it_as_they_are(outside: Root, tmp_path: Path) -> None:
    """To a proxy over TLS, which is told the whole URL; what it thinks of that is of no matter here."""
    with (
        serve_pages() as port,
        tls_in_front(port, outside.server("localhost", name="proxy")) as tls,
        running(
            tmp_path / "heli",
            "",
            HTTP_PROXY=f"https://localhost:{tls}",
            SSL_CERT_FILE=str(outside.file),
        ) as rig,
    ):
        assert rig.curl("-x", rig.proxy(), "http://quiet.example/") == "page of quiet.example"


def test_a_proxy_that_nobody_vouches_for_is_shown_nothing(tmp_path: Path) -> None:
    stranger = Root(tmp_path, "stranger")
    with serve_pages(stranger.server("quiet.example", name="page")) as port, CompanyProxy(port) as proxy:
        own = urlsplit(proxy.url).port or 0
        with (
            tls_in_front(own, stranger.server("localhost", name="proxy")) as tls,
            running(tmp_path / "heli", "", HTTPS_PROXY=f"https://me:secret@localhost:{tls}") as rig,
        ):
            with pytest.raises(RuntimeError, match="CONNECT tunnel failed, response 502"):
                rig.curl("https://quiet.example/", "-k")
            assert proxy.asked == []

"""One heli for all tests of clients, and each SDK's client both ways."""

from collections.abc import Callable, Iterator

import pytest
from anthropic import Anthropic
from google import genai
from openai import OpenAI

from tests.clients.endings import BothWays
from tests.clients.running_heli import PORTS, RunningHeli
from tests.standin import StandIn

GOOGLE = "https://generativelanguage.googleapis.com"


@pytest.fixture(scope="session")
def heli(tmp_path_factory: pytest.TempPathFactory, _standin_process: StandIn) -> Iterator[RunningHeli]:
    from tests.conftest import find_free_ports

    home = tmp_path_factory.mktemp("heli")
    with RunningHeli(home, find_free_ports(len(PORTS)), _standin_process) as running:
        yield running


@pytest.fixture
def openai_client() -> Iterator[Callable[..., OpenAI]]:
    made: list[OpenAI] = []

    def make(base_url: str, **options: object) -> OpenAI:
        settings = {"api_key": "sk-secret-of-the-user", "max_retries": 0, "timeout": 20.0} | options
        made.append(OpenAI(base_url=f"{base_url}/v1", **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def openai_ways(
    heli: RunningHeli, standin: StandIn, openai_client: Callable[..., OpenAI]
) -> Callable[..., BothWays]:
    """`openai_ways(timeout=1)` makes both clients with these options."""

    def make(**options: object) -> BothWays:
        through = openai_client(heli.openai, **options)
        return BothWays(openai_client(standin.url, **options), through, heli, standin)

    return make


@pytest.fixture
def anthropic_ways(heli: RunningHeli, standin: StandIn) -> Iterator[Callable[..., BothWays]]:
    made: list[Anthropic] = []

    def make(**options: object) -> BothWays:
        settings = {"api_key": "sk-ant-secret", "max_retries": 0, "timeout": 20.0} | options
        pair = [Anthropic(base_url=url, **settings) for url in (standin.url, heli.anthropic)]  # type: ignore[arg-type]
        made.extend(pair)
        return BothWays(*pair, heli, standin)

    yield make
    for client in made:
        client.close()


@pytest.fixture
def google_ways(heli: RunningHeli, standin: StandIn) -> Iterator[BothWays]:
    """Through the gateway port, which is told the target."""
    made = [
        genai.Client(api_key="AIza-secret", http_options={"base_url": url})
        for url in (standin.url, heli.gateway)
    ]
    yield BothWays(*made, heli, standin)
    for client in made:
        client.close()

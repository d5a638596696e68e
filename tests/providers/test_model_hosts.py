"""Which hosts are decrypted: those that serve models and little else."""

import pytest

from heli.providers.hosts import find_host
from heli.providers.model_hosts import MODEL_HOSTS, HostList, as_pattern, subtrees


@pytest.mark.parametrize(
    "host",
    [
        "api.openai.com",
        "eu.api.openai.com",
        "API.Anthropic.com.",
        "generativelanguage.googleapis.com",
        "us-central1-aiplatform.googleapis.com",
        "my-company.openai.azure.com",
        "bedrock-runtime.eu-central-1.amazonaws.com",
        "chatgpt.com",
        "openrouter.ai",
    ],
)
def test_hosts_of_models_are_decrypted(host: str) -> None:
    assert host in HostList()


@pytest.mark.parametrize(
    "host",
    [
        "storage.googleapis.com",
        "oauth2.googleapis.com",
        "s3.amazonaws.com",
        "sts.us-east-1.amazonaws.com",
        "my-company.azure-api.net",
        "api.openai.com.evil.example",
        "evil-api.openai.com.example",
        "openai.com",
        "xapi.openai.com",
        "github.com",
        "qstash.upstash.io",
        "",
    ],
)
def test_other_hosts_are_not(host: str) -> None:
    assert host not in HostList()


def test_every_host_belongs_to_a_provider() -> None:
    for pattern in MODEL_HOSTS:
        names = [pattern.replace("*", label) for label in ("x", "x.y")]
        assert any(find_host(f"https://{name}") for name in names), pattern


def test_allowed_hosts_are_decrypted_too() -> None:
    hosts = HostList(["llm.example.com", "*.models.example"])

    assert "llm.example.com" in hosts
    assert "a.b.models.example" in hosts
    assert "models.example" not in hosts
    assert "x.llm.example.com" not in hosts


def test_a_host_is_written_in_one_form() -> None:
    assert as_pattern(" Bücher.Example. ") == "xn--bcher-kva.example"
    assert as_pattern("*.Example.com") == "*.example.com"


def test_limits_hold_the_hosts_and_none_twice() -> None:
    assert subtrees(["api.x.ai", "*.api.x.ai", "b.example", "a.b.example"]) == ["api.x.ai", "b.example"]

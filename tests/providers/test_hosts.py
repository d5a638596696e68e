"""Which hosts serve model APIs: exactly these may be decrypted, so that none is too many."""

import pytest

from heli.providers.hosts import HOSTS, find_host, origin_of


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("eu.api.openai.com", "OPENAI"),
        ("acme.openai.azure.com", "AZURE"),
        ("acme.cognitiveservices.azure.com", "AZURE"),
        ("acme.eastus2.models.ai.azure.com", "AZURE"),
        ("swedencentral.api.cognitive.microsoft.com", "AZURE"),
        ("generativelanguage.googleapis.com", "GOOGLE"),
        ("aiplatform.googleapis.com", "GOOGLE"),
        ("europe-west4-aiplatform.googleapis.com", "GOOGLE"),
        ("aiplatform.eu.rep.googleapis.com", "GOOGLE"),
        ("cloudcode-pa.googleapis.com", "GOOGLE"),
        ("bedrock-runtime.us-gov-west-1.amazonaws.com", "BEDROCK"),
        ("bedrock-runtime-fips.us-east-1.amazonaws.com", "BEDROCK"),
        ("bedrock-mantle.us-west-2.api.aws", "BEDROCK"),
        ("api.individual.githubcopilot.com", "COPILOT"),
        ("dashscope-intl.aliyuncs.com", "ALIBABA"),
    ],
)
def test_a_host_of_a_provider(host: str, name: str) -> None:
    found = find_host(f"https://{host}")

    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "host",
    [
        "storage.googleapis.com",
        "oauth2.googleapis.com",
        "www.googleapis.com",
        "evil-aiplatform.googleapis.com.example",
        "aiplatform.googleapis.com.example",
        "a.b-aiplatform.googleapis.com",
        "bedrock.us-east-1.amazonaws.com",
        "s3.us-east-1.amazonaws.com",
        "bedrock-runtime.us-east-1.evil.amazonaws.com",
        "sts.amazonaws.com",
        "openai.com",
        "platform.openai.com",
        "console.anthropic.com",
        "github.com",
        "api.github.com",
        "huggingface.co",
        "login.microsoftonline.com",
        "acme.azure.com",
        "xapi.openai.com.example",
    ],
)
def test_a_host_that_is_nobodys(host: str) -> None:
    assert find_host(f"https://{host}") is None


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.key)
def test_the_default_origin_is_a_host_of_the_same_provider(host) -> None:
    if host.origin:
        assert origin_of(host.origin) == host.origin
        assert find_host(host.origin) is host


def test_names_of_settings_are_unique() -> None:
    assert len({host.key for host in HOSTS}) == len(HOSTS)

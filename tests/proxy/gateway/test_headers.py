"""Which headers are secrets, and what is recorded of URLs."""

import pytest

from heli.proxy.gateway.headers import Kind, kind_of, read_line
from heli.proxy.gateway.masking import mask_url

SECRETS = [
    "authorization",
    "Proxy-Authorization",
    "x-api-key",
    "API-KEY",
    "X-Goog-Api-Key",
    "Cookie",
    "set-cookie",
    "X-Amz-Security-Token",
    "aws-secret-key",
    "aws-access-key",
    "aws-session-token",
    "Helicone-Auth",
    "Helicone-Fallbacks",
    "ocp-apim-subscription-key",
    "X-Vault-Token",
    "x-jwt",
    "Sec-WebSocket-Protocol",
    "X-Signature",
    "x-auth",
    "Helicone-Posthog-Key",
    "X-Client-Secret",
    "x-accesstoken",
    "X-AuthToken",
    "x-amzn-oidc-accesstoken",
    "x-bearer",
    "x-passphrase",
    "x-keys",
]
HARMLESS = [
    "content-type",
    "x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-tokens-limit",
    "Idempotency-Key",
    "X-Author",
    "Sec-WebSocket-Key",
    "Helicone-Property-Api-Key",
    "Helicone-Cache-Ignore-Keys",
    "openai-organization",
    "anthropic-beta",
    "Helicone-Token-Limit-Exception-Handler",
    "x-stainless-lang",
    "keyboard",
    "monkey",
]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_never_recorded(name: str) -> None:
    assert recorded(f"{name}: s3cret") == b"***"


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_secret_is_recorded(name: str) -> None:
    assert recorded(f"{name}: value") == b"value"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        (b"/v1beta/m:gen?key=AIza1&alt=sse", b"/v1beta/m:gen?key=***&alt=sse"),
        (b"/x?alt=sse&api_key=1", b"/x?alt=sse&api_key=***"),
        (b"/x?X-Amz-Signature=a&X-Amz-Date=d", b"/x?X-Amz-Signature=***&X-Amz-Date=d"),
        (b"/x?access_token=a%20b&sig=c", b"/x?access_token=***&sig=***"),
        (b"https://user:pass@host/x", b"https://***@host/x"),
        (b"/plain/path?monkey=1", b"/plain/path?monkey=***"),
        (b"/plain?a=b@c", b"/plain?a=b@c"),
        (b"/x?k%65y=1&api%5Fkey=2&x[key]=3&jwt=4&a=5", b"/x?k%65y=***&api%5Fkey=***&x[key]=***&jwt=***&a=5"),
        (b"https://u:p@ss@host/?sas=1", b"https://***@host/?sas=***"),
        (b"/x?max_tokens=5&pageTokens=2", b"/x?max_tokens=5&pageTokens=2"),
    ],
)
def test_urls_lose_their_secrets_and_keep_the_rest(url: bytes, masked: bytes) -> None:
    assert mask_url(url) == masked


@pytest.mark.parametrize(
    "name", ["Helicone-Target-Url", "x-goog-upload-url", "Operation-Location", "refresh"]
)
def test_urls_in_any_header_are_masked_inside(name: str) -> None:
    assert recorded(f"{name}: https://u:p@h/?key=1") == b"https://***@h/?key=***"


@pytest.mark.parametrize("value", ["Bearer abc", "basic YTpi", " BEARER  x"])
def test_credentials_are_masked_under_any_name(value: str) -> None:
    assert recorded(f"x-upstream: {value}") == b"***"


def test_what_is_meant_for_heli_stays_here() -> None:
    assert kind_of(b"Helicone-Target-Url") & Kind.HELI
    assert kind_of(b"heli-x") & Kind.STAYS


def recorded(line: str) -> bytes:
    """What is recorded of a header line; asked twice, as lines are remembered."""
    first, again = read_line(line.encode()), read_line(line.encode())
    assert (first.pair, first.kind) == (again.pair, again.kind)
    return first.pair[1]

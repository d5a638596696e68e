"""Which headers are secrets, and what is recorded of URLs."""

import pytest

from heli.proxy.gateway.headers import Kind, kind_of, mask_url, mask_value

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
    assert mask_value(kind_of(name.encode()), b"s3cret") == b"***"


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_secret_is_recorded(name: str) -> None:
    assert mask_value(kind_of(name.encode()), b"value") == b"value"


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
    ],
)
def test_urls_lose_their_secrets_and_keep_the_rest(url: bytes, masked: bytes) -> None:
    assert mask_url(url) == masked


def test_url_headers_are_masked_inside() -> None:
    kind = kind_of(b"Helicone-Target-Url")

    assert kind & Kind.HELI
    assert mask_value(kind, b"https://u:p@h/?key=1") == b"https://***@h/?key=***"

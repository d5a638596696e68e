"""What programs ask of their proxy is read strictly."""

import base64

import pytest

from heli.proxy.intercept.proxied_head import BadProxyHeadError, read_proxied_head


def head(first: str, *lines: str) -> bytes:
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


def test_connect_names_a_host_and_the_user() -> None:
    shown = base64.b64encode(b"run-ab12:x").decode()
    found = read_proxied_head(
        head("CONNECT API.openai.com.:443 HTTP/1.1", f"Proxy-Authorization: Basic {shown}")
    )

    assert (found.host, found.port, found.user, found.is_connect) == ("api.openai.com", 443, "run-ab12", True)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://example.com", "example.com", 80, "/"),
        ("http://example.com:8080/a?b=//c", "example.com", 8080, "/a?b=//c"),
        ("http://example.com?x=1", "example.com", 80, "/?x=1"),
        ("http://[::1]:1/", "::1", 1, "/"),
        ("HTTP://me:secret@example.com/x", "example.com", 80, "/x"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str) -> None:
    found = read_proxied_head(head(f"GET {url} HTTP/1.1", "Host: whatever"))

    assert (found.host, found.port, found.path) == (host, port, path)


def test_a_path_is_for_heli_itself() -> None:
    assert read_proxied_head(head("GET /healthcheck HTTP/1.1", "Host: localhost")).host == ""


@pytest.mark.parametrize(
    "first",
    [
        "CONNECT api.openai.com HTTP/1.1",
        "CONNECT api.openai.com:0 HTTP/1.1",
        "CONNECT api.openai.com:99999 HTTP/1.1",
        "CONNECT me@api.openai.com:443 HTTP/1.1",
        "CONNECT http://api.openai.com:443 HTTP/1.1",
        "GET https://api.openai.com/ HTTP/1.1",
        "GET ftp://x/ HTTP/1.1",
        "GET http:/// HTTP/1.1",
        "GET http://x:y/ HTTP/1.1",
        "GET  http://x/ HTTP/1.1",
        "GET http://x/ HTTP/2",
        "nonsense",
        "",
    ],
)
def test_what_is_no_request_to_a_proxy_is_refused(first: str) -> None:
    with pytest.raises(BadProxyHeadError):
        read_proxied_head(head(first))


@pytest.mark.parametrize("line", [" folded", "a: b\rc: d", "a: b\nc: d"])
def test_broken_header_lines_are_refused(line: str) -> None:
    with pytest.raises(BadProxyHeadError):
        read_proxied_head(head("GET http://x/ HTTP/1.1", "Host: x", line))


def test_rubbish_for_credentials_is_nobody() -> None:
    found = read_proxied_head(head("CONNECT x:443 HTTP/1.1", "Proxy-Authorization: Basic %%%"))

    assert found.user == ""

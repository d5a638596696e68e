"""S6: no secret of a header, a query or a URL is found anywhere after heli has carried it.

Canaries stand in every place where programs put keys, in calls that succeed, fail, break off, are refused,
are in flight when the worker is killed, or wait while nothing stores them. Then every file is searched, also
through compression and Base64, and the request log and the archive are read whole through the API.
"""

import base64
import gzip
import io
import itertools
import json
import os
import re
import signal
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import zstandard

from tests.rel.heli_under_test import HeliUnderTest, wait_until
from tests.rel.sizes import sized
from tests.standin import StandIn

SECRETS = sized(500, 10_000)
MARK = "Zc4n4ry"
"""Begins each canary and stands nowhere else."""
BODY = b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}'
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP = b"\x1f\x8b\x08"
QUERY_NAMES = "key", "api_key", "access_token", "X-Amz-Signature", "X-Amz-Security-Token", "sig", "co%64e"


class Canaries:
    """Secrets that are all different."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        return f"{MARK}{next(self._numbers):06d}x"


def places(secret: Canaries) -> tuple[str, list[str]]:
    """Query, and header lines, with a secret in each."""
    query = "&".join(f"{name}={secret()}" for name in QUERY_NAMES)
    basic = base64.b64encode(f"me:{secret()}".encode()).decode()
    lines = [
        f"Authorization: Bearer {secret()}, Bearer sk-helicone-{secret()}",
        f"Helicone-Auth: Bearer sk-helicone-{secret()}",
        f"X-Api-Key: {secret()}",
        f"api-key: {secret()}",
        f"X-Goog-Api-Key: {secret()}",
        f"Cookie: session={secret()}; other={secret()}",
        f"Proxy-Authorization: Basic {basic}",
        f"X-Amz-Security-Token: {secret()}",
        f"OpenAI-Ephemeral-Token: {secret()}",
        f"X-Custom-Secret: {secret()}",
        f"X-Odd: Bearer {secret()}",
        f"Referer: https://me:{secret()}@example.com/?token={secret()}",
        f'Helicone-Fallbacks: [{{"key": "{secret()}"}}]',
    ]
    return query, lines


def a_request(secret: Canaries, scenario: object, length: str = "") -> bytes:
    query, lines = places(secret)
    told = json.dumps(scenario)
    head = [
        f"POST /sk-helicone-{secret().lower()}/v1/chat/completions?{query} HTTP/1.1",
        "Host: heli.test",
        "Content-Type: application/json",
        f"Content-Length: {length or len(BODY)}",
        f"x-standin: {told}",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode() + BODY


def endings(secret: Canaries, standin: StandIn) -> list[object]:
    """What becomes of a call, by the stand-in's words."""
    told = []
    for number, status in enumerate(("200 OK", "401 Unauthorized")):
        name = f"secrets-{secret.made}-{number}"
        head = [f"HTTP/1.1 {status}", f"Set-Cookie: id={secret()}", f"X-Session-Token: {secret()}"]
        reply = "\r\n".join([*head, "Content-Type: application/json", "Content-Length: 2", "", "{}"])
        standin.put_script(name, [{"write": reply.encode()}])
        told.append({"script": name})
    return [*told, {"status": 500}, {"drop": "before_head"}, {"drop": "mid_body"}, {"framing": "bad_header"}]


def say(port: int, data: bytes, *, stay: bool = False) -> socket.socket | None:
    """Send a request and read what comes; with `stay` the connection is left open, unanswered."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.sendall(data)
    if stay:
        return sock
    with sock:
        sock.settimeout(3)
        try:
            sock.recv(65536)
        except OSError:
            return None
    return None


@pytest.mark.slow
@pytest.mark.timeout(sized(240, 3_600))
def test_no_secret_is_found_anywhere(standin: StandIn, tmp_path: Path) -> None:
    secret = Canaries()
    home = tmp_path / "heli"
    environ = {"HELI_LOG_LEVEL": "debug", "HELI_DEBUG": "1"}
    with HeliUnderTest(home, standin.url, "store", "backend", "gateway", environ=environ) as heli:
        calls = 0
        while secret.made < SECRETS * 3 // 4:
            for scenario in endings(secret, standin):
                say(heli.ports["openai"], a_request(secret, scenario))
                calls += 1
        for refused in ("x", "-1", "3\r\nContent-Length: 4"):
            say(heli.ports["openai"], a_request(secret, {}, refused))
        target = f"Helicone-Target-Url: http://me:{secret()}@10.0.0.1/?key={secret()}\r\n".encode()
        say(heli.ports["gateway"], a_request(secret, {}).replace(b"Host:", target + b"Host:", 1))
        with httpx.Client(base_url=heli.url("backend"), timeout=30) as api:
            wait_until(lambda: len(all_ids(api)) >= calls, 60, "the calls to be stored")
        heli.kill("backend")
        held = [say(heli.ports["openai"], a_request(secret, {"delay_s": 60}), stay=True) for _ in range(3)]
        wait_until(lambda: spooled(home, b"delay_s") == 3, 10, "the calls in flight to be on disk")
        kill_worker(heli)
        for sock in held:
            assert sock is not None
            sock.close()
        while secret.made < SECRETS:
            say(heli.ports["openai"], a_request(secret, {}))
            calls += 1
        heli.start("backend")
        heli.wait_ready("backend")
        with httpx.Client(base_url=heli.url("backend"), timeout=30) as api:
            for wrong in ("Bearer " + secret(), "Basic " + secret()):
                api.post("/v1/ingest", content=b"", headers={"Authorization": wrong})
            wait_until(lambda: len(all_ids(api)) >= calls + len(held), 60, "all calls to be stored")
            told = "".join(everything_told(api))
    assert secret.made >= SECRETS
    assert MARK.lower() not in told.lower()
    assert "/v1/chat/completions" in told
    assert '"interrupted"' in told
    found = sorted({str(file.relative_to(home)) for file in files(home) if holds_mark(file.read_bytes())})
    assert found == []


def kill_worker(heli: HeliUnderTest) -> None:
    """`kill -9` of the worker, and wait for the next one."""
    killed = heli.worker()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: set(heli.workers().values()) - {killed}, 20, "another worker")
    heli.wait_ready("gateway")


def spooled(home: Path, text: bytes) -> int:
    """How often a text stands in the spool."""
    return sum(file.read_bytes().count(text) for file in (home / "data" / "spool").rglob("*.seg"))


def all_ids(api: httpx.Client) -> list[str]:
    ids: list[str] = []
    cursor = ""
    while cursor is not None:
        page = api.get("/v1/requests", params={"limit": 500, "cursor": cursor}).json()
        ids += [row["id"] for row in page["requests"]]
        cursor = page.get("next_cursor")
    return ids


def everything_told(api: httpx.Client) -> Iterator[str]:
    """All that the API tells of all calls: rows, archived exchanges, metrics."""
    for id in all_ids(api):
        yield api.get(f"/v1/requests/{id}").text
        yield api.get(f"/v1/requests/{id}/exchange").text
    yield api.get("/metrics").text


def files(home: Path) -> list[Path]:
    found = [file for file in home.rglob("*") if file.is_file()]
    assert any(file.suffix == ".pack" for file in found), "nothing was archived"
    assert any(file.suffix == ".log" for file in found)
    return found


def holds_mark(data: bytes) -> bool:
    return any(pattern.search(text) for text in (data, *unpacked(data)) for pattern in PATTERNS)


def base64_forms(text: bytes) -> Iterator[bytes]:
    """What of a text stands in Base64, whatever stands before it."""
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + text + b"\0" * 3)
        yield coded[4 if shift else 0 : (len(text) + shift) // 3 * 4]


PATTERNS = [
    re.compile(re.escape(MARK.encode()), re.IGNORECASE),
    re.compile(re.escape(MARK.encode().hex().encode()), re.IGNORECASE),
    *(re.compile(re.escape(form)) for form in base64_forms(MARK.encode())),
]


def unpacked(data: bytes) -> Iterator[bytes]:
    """What the compressed parts of a file hold."""
    for found in re.finditer(re.escape(_ZSTD), data):
        try:
            reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data[found.start() :]))
            yield reader.read(16 << 20)
        except zstandard.ZstdError:
            continue
    for found in re.finditer(re.escape(_GZIP), data):
        try:
            yield zlib.decompressobj(wbits=31).decompress(data[found.start() :], 16 << 20)
        except zlib.error:
            continue


@pytest.mark.parametrize(
    "hide",
    [
        lambda data: data,
        bytes.upper,
        lambda data: zstandard.compress(data * 3),
        gzip.compress,
        lambda data: base64.b64encode(b"a" + data),
        lambda data: base64.b64encode(b"ab" + data),
        lambda data: data.hex().encode(),
    ],
    ids=["plain", "upper", "zstd", "gzip", "base64", "base64-shifted", "hex"],
)
def test_the_sweep_finds_what_is_hidden(hide) -> None:
    assert holds_mark(b"before" + hide(f"Bearer {MARK}000001x".encode()) + b"after")
    assert not holds_mark(b"before" + hide(b"Bearer something-else-000001x") + b"after")

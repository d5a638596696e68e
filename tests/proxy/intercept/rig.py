"""A gateway and an interceptor before a provider, and the environment of a program that goes through them."""

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heli.proxy.intercept.authority import certificate_file
from heli.proxy.intercept.bundle import make_bundle
from heli.schema.paths import Paths
from heli.schema.run import Run, write_run
from tests.rel.heli_under_test import HeliUnderTest
from tests.rel.ingest_sink import IngestSink
from tests.standin import StandIn

PROXY_VARIABLES = {"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"}
NO_PROXY_SET = dict.fromkeys(PROXY_VARIABLES | {name.lower() for name in PROXY_VARIABLES}, "")
"""The environment of a heli that shall not see what proxy the machine has."""


class Rig:
    """`environ()` is what `heli run` would give a program."""

    def __init__(self, heli: HeliUnderTest, sink: IngestSink) -> None:
        self.heli = heli
        self.sink = sink
        self.paths = Paths.from_environ(heli.environ)
        self.port = heli.ports["intercept"]

    def proxy(self, run: str = "") -> str:
        return f"http://{run + ':x@' if run else ''}127.0.0.1:{self.port}"

    def environ(self, run: str = "", **more: str) -> dict[str, str]:
        bundle = str(make_bundle(self.paths, {}))
        plain = {k: v for k, v in os.environ.items() if k.upper() not in PROXY_VARIABLES}
        return {
            **plain,
            "HTTPS_PROXY": self.proxy(run),
            "https_proxy": self.proxy(run),
            "SSL_CERT_FILE": bundle,
            "CURL_CA_BUNDLE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
            "NODE_EXTRA_CA_CERTS": str(certificate_file(self.paths)),
            "OPENAI_API_KEY": "sk-test-0123456789abcdef",
            "ANTHROPIC_API_KEY": "sk-ant-test-0123456789abcdef",
            **more,
        }

    def a_run(self, run_id: str, **fields: Any) -> Run:
        wanted = {"pid": 1 << 22, "started_ns": time.time_ns(), "session_id": f"session-of-{run_id}"} | fields
        run = Run(id=run_id, **wanted)
        write_run(self.paths.runs, run)
        return run

    def python(self, code: str, run: str = "", **environ: str) -> str:
        """Run a program as a user would; what it printed."""
        return _ran([sys.executable, "-c", code], self.environ(run, **environ))

    def curl(self, *arguments: str, run: str = "", **environ: str) -> str:
        return _ran(["curl", "-sS", "--max-time", "20", *arguments], self.environ(run, **environ))

    def node(self, code: str, run: str = "", **environ: str) -> str:
        return _ran(["node", "-e", code], self.environ(run, **environ))

    def client_tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(make_bundle(self.paths, {})))

    def connect(self, host: str, port: int = 443, run: str = "", alpn: tuple[str, ...] = ()) -> ssl.SSLSocket:
        """A decrypted connection to a host, byte by byte."""
        plain = self.tunnel(host, port, run)
        context = self.client_tls()
        if alpn:
            context.set_alpn_protocols(list(alpn))
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def tunnel(self, host: str, port: int = 443, run: str = "") -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        status, head = ask_connect(plain, f"{host}:{port}", run)
        if status != 200:
            plain.close()
            raise ConnectionError(head)
        return plain

    def status(self) -> dict[str, Any]:
        secret = self.paths.intercept_secret.read_text().strip()
        return json.loads(get(self.port, "/status", authorization=f"Bearer {secret}")[1])

    def metric(self, name: str) -> float:
        text = get(self.port, "/metrics")[1]
        found = re.search(rf"^heli_intercept_{name} ([0-9.e+]+)$", text, re.MULTILINE)
        assert found, text
        return float(found[1])


def ask_connect(plain: socket.socket, authority: str, run: str = "") -> tuple[int, str]:
    """Say CONNECT; the status and everything that was answered."""
    import base64

    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if run:
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(f'{run}:x'.encode()).decode()}")
    plain.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = plain.recv(1)
        if not piece:
            break
        head += piece
    words = head.split(b" ", 2)
    return (int(words[1]) if len(words) > 2 else 0), head.decode()


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as reply:
            return reply.status, reply.read().decode()


def _ran(command: list[str], environ: Mapping[str, str]) -> str:
    ran = subprocess.run(command, env=dict(environ), capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode:
        raise RuntimeError(f"exit code {ran.returncode}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}")
    return ran.stdout


@contextmanager
def running(home: Path, provider_url: str, **environ: str) -> Iterator[Rig]:
    """A gateway and an interceptor whose providers are at a URL. They see no proxy but the one given here."""
    with (
        IngestSink() as sink,
        HeliUnderTest(
            home, provider_url, "gateway", "intercept", backend_url=sink.url, environ=NO_PROXY_SET | environ
        ) as heli,
    ):
        yield Rig(heli, sink)


def asked(standin: StandIn, marker: str) -> dict[str, Any]:
    """The one request that the provider got whose head holds this."""
    (entry,) = standin.wait_for(lambda each: each.journal(marker))
    return entry

"""Starts and ends the stand-in's process, and asks it what it saw."""

import base64
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

ROOT = Path(__file__).parents[2]


class StandIn:
    """A running stand-in. Ends with its `with` block, and in any case when this process does."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.standin", "--port", "0", "--until-stdin-ends", *arguments]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stand-in did not start: exit code {self._process.wait()}")
        self.port = int(line)
        scheme = "https" if "--tls" in arguments else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._is_plain = scheme == "http"
        self._control = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def journal(self, marker: str = "") -> list[dict[str, Any]]:
        """What came in, oldest first; only requests whose head holds `marker`. See `journal.Entry`."""
        told: list[dict[str, Any]] = self._ask("GET", f"/_journal?marker={quote(marker)}")
        return told

    def stats(self) -> dict[str, int]:
        """`{requests, connections, open_connections, in_flight}`."""
        told: dict[str, int] = self._ask("GET", "/_stats")
        return told

    def reset(self) -> None:
        self._ask("POST", "/_reset")

    def put_script(self, name: str, steps: list[dict[str, Any]]) -> None:
        """Steps as in the package's docstring; `write` may be given as bytes."""
        plain = [
            {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in step.items()}
            for step in steps
        ]
        self._ask("PUT", f"/_scripts/{quote(name)}", json.dumps(plain))

    def wait_for[T](self, question: Callable[[Self], T], seconds: float = 5) -> T:
        """Ask until the answer is true; the last answer when time is up."""
        deadline = time.monotonic() + seconds
        while not (told := question(self)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return told

    def _ask(self, method: str, target: str, body: str | None = None) -> Any:
        if not self._is_plain:
            raise RuntimeError("the journal of a stand-in that speaks TLS is not read")
        with self._lock:
            self._control.request(method, target, body)
            return json.load(self._control.getresponse())


def start_standin(*, fast: bool = False, tls: Path | None = None) -> StandIn:
    """`fast`: canned replies, for load. `tls`: a PEM file with a certificate and its key."""
    return StandIn(*(["--fast"] if fast else []), *(["--tls", str(tls)] if tls else []))

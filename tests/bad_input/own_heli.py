"""heli as a person meets it when something is wrong: real processes, on files and ports of their own."""

import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.rel.heli_under_test import HeliUnderTest, wait_until

CHAT = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]})
ONE_SENTENCE = re.compile(r"heli: [^\n]+\n(?: {6}[^\n]+\n)?")
"""And at most one line with what to do."""


class Told(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    def refuses(self, code: int, *words: str) -> None:
        """It ended with this code, and said these words in one sentence and a hint, without a traceback."""
        complaint = self.err[self.err.find("heli: ") :]
        assert self.code == code, self
        assert ONE_SENTENCE.fullmatch(complaint), self
        assert not any(word in self.out + self.err for word in ("Traceback", "heli: unexpected", "Errno")), (
            self
        )
        assert [word for word in words if word not in complaint] == [], self


class OwnHeli(HeliUnderTest):
    """Its processes one by one, and its commands."""

    def command(self, *words: str, **environ: str) -> Told:
        self.home.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "heli", *words],
            env=self.environ | environ,
            cwd=self.home.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return Told(done.returncode, done.stdout, done.stderr)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.command("status", "--json").out)
        return told

    def lost(self, name: str) -> int:
        """A sum over the workers' spools, such as `lost_records`."""
        return sum(worker[name] for worker in self.status()["spool"])

    def logged(self, count: int) -> list[str]:
        """The ids in the log, as soon as there are so many."""
        ids: list[str] = []

        def is_enough() -> bool:
            ids[:] = self.command("logs", "-q", "-n", "100").out.split()
            return len(ids) >= count

        wait_until(is_enough, 40, f"{count} calls in the log")
        return ids

    def call(self, marker: str = "", size: int = 0) -> None:
        """One chat through the gateway; raises unless the caller gets the provider's reply."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["openai"], timeout=30)
        try:
            body = CHAT.replace("hello there", f"hello there {'x' * size}") if size else CHAT
            headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-x", "X-Marker": marker}
            connection.request("POST", "/v1/chat/completions", body, headers)
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == 200, said
            assert b"You said: hello there" in said
        finally:
            connection.close()


def make_heli(home: Path, *parts: str, upstream: str = "http://127.0.0.1:9", **more: str) -> OwnHeli:
    """Not started yet; `more` are variables."""
    backend_url = more.pop("backend_url", "")
    return OwnHeli(home, upstream, *parts, backend_url=backend_url, environ=more)


def mount_small_disk(place: Path, megabytes: int) -> str:
    """Why a small file system could not be mounted; empty when it is there."""
    if os.geteuid() != 0:
        return "only root may mount a file system"
    place.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"this machine mounts nothing: {done.stderr.strip()}"

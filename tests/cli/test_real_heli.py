"""The whole of heli as a person runs it: `heli up -d`, a call, what is shown of it, crashes, `heli down`."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heli.cli.supervisor.recovery import wait_for_end
from heli.schema.errors import ExitCode
from tests.standin import StandIn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PATIENCE_S = 120
"""The machine of a test run may be busy; nothing here waits longer than it must."""
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}).encode()


class Heli:
    """One heli on ports and files of its own."""

    def __init__(self, home: Path, standin: StandIn, ports: list[int]) -> None:
        names = ("OPENAI", "ANTHROPIC", "GATEWAY", "LOG_API", "BACKEND", "STORE")
        chosen = {f"HELI_PORTS__{name}": str(port) for name, port in zip(names, ports, strict=True)}
        own = {"HELI_HOME": str(home), "HELI_PROVIDERS__OPENAI__BASE_URL": standin.url}
        self.environment = os.environ | own | chosen
        self.openai = f"http://127.0.0.1:{ports[0]}/v1"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "heli", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=200, check=False
        )

    def status(self) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return tree

    def pid(self, name: str) -> int:
        return next(process["pid"] for process in self.status()["processes"] if process["name"] == name)

    def call(self) -> None:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-x"}
        request = urllib.request.Request(f"{self.openai}/chat/completions", BODY, headers)
        with urllib.request.urlopen(request, timeout=30) as reply:
            assert b"You said: hello there" in reply.read()

    def ids(self) -> list[str]:
        return self.run("logs", "-q").stdout.split()

    def logged(self, count: int) -> list[str]:
        """The ids in the log as soon as there are so many."""
        return until(self.ids, lambda ids: len(ids) >= count)


def until[T](look: Callable[[], T], is_it: Callable[[T], object]) -> T:
    deadline = time.monotonic() + PATIENCE_S
    while not is_it(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


def is_ready(status: dict[str, Any]) -> bool:
    return all(process["state"] == "ready" for process in status["processes"])


@pytest.fixture
def real(tmp_path: Path, standin: StandIn, free_ports: Callable[[int], list[int]]) -> Iterator[Heli]:
    one = Heli(tmp_path / "real", standin, free_ports(6))
    yield one
    one.run("down", "--now")


def test_a_call_is_seen_through_crashes_and_restarts(real: Heli, tmp_path: Path) -> None:
    up = real.run("up", "-d")
    assert up.returncode == ExitCode.OK, up.stderr
    assert f"export OPENAI_BASE_URL={real.openai.replace('127.0.0.1', 'localhost')}" in up.stdout
    assert is_ready(real.status())
    assert "heli runs already" in real.run("up").stderr

    real.call()
    (first,) = real.logged(1)
    shown = real.run("show", first[:8])
    assert shown.returncode == ExitCode.OK, shown.stderr
    assert "user       hello there" in shown.stdout
    assert "assistant  You said: hello there" in shown.stdout
    assert json.loads(real.run("costs", "-o", "json").stdout)["total"]["requests"] == 1
    caret = real.run("logs", "model:(")
    assert (caret.returncode, "^" in caret.stderr) == (ExitCode.USAGE, True)

    os.kill(real.pid("backend"), signal.SIGKILL)
    real.call()
    assert len(real.logged(2)) == 2
    assert real.status()["processes"][2]["restarts"] == 1

    before = real.status()
    os.kill(before["supervisor_pid"], signal.SIGKILL)
    assert all(wait_for_end(process["pid"], 60) for process in before["processes"])
    assert real.run("status").returncode == ExitCode.UNREACHABLE

    again = real.run("up", "-d")
    assert again.returncode == ExitCode.OK, again.stderr
    assert len(real.logged(2)) == 2

    supervisor = real.status()["supervisor_pid"]
    down = real.run("down")
    assert (down.returncode, "heli has stopped" in down.stderr) == (ExitCode.OK, True)
    assert wait_for_end(supervisor, 1)
    assert real.run("logs").returncode == ExitCode.UNREACHABLE
    logs = {file.name: file.read_text() for file in (tmp_path / "real" / "state" / "logs").iterdir()}
    assert {name for name, text in logs.items() if "unexpected" in text or "Traceback" in text} == set()

"""The program has ended: its exit code is there soon, whoever is in a hurry or does not listen."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.fake_backend import FakeBackend

END = [sys.executable, str(Path(__file__).with_name("end.py"))]
ROOT = Path(__file__).parents[3]
PATIENCE_S = 60.0
NOTHING = {
    "requests": 0,
    "cost_usd": None,
    "unknown_cost_requests": 0,
    "estimated_cost_requests": 0,
    "input_tokens": None,
    "cache_read_tokens": None,
    "cache_write_tokens": None,
    "output_tokens": None,
    "reasoning_tokens": None,
}


class SignallingBackend(FakeBackend):
    """It knows of no call, and sends a signal when it is asked."""

    caller = 0

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        if path == "/v1/costs":
            os.kill(self.caller, signal.SIGTERM)
        return 200, json.dumps({"rows": [], "total": NOTHING}).encode()


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[SignallingBackend]:
    backend = SignallingBackend()
    monkeypatch.setenv("HELI_BACKEND__URL", backend.url)
    yield backend
    backend.close()


@pytest.fixture
def start(
    monkeypatch: pytest.MonkeyPatch, free_ports: Callable[[int], list[int]]
) -> Callable[..., "subprocess.Popen[str]"]:
    """Nobody answers at the backend's port, unless a test has one."""
    monkeypatch.setenv("HELI_PORTS__BACKEND", str(free_ports(1)[0]))

    def start(*words: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*END, *words], stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    return start


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The end to write to; nobody reads at the other one."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    for size in (65_536, 1):
        try:
            while True:
                os.write(writes, b"x" * size)
        except BlockingIOError:
            continue
    os.set_blocking(writes, True)
    yield writes
    os.close(writes)
    os.close(reads)


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT"])
def test_who_signals_after_the_end_gets_the_programs_code_without_waiting(
    start: Callable[..., "subprocess.Popen[str]"], name: str
) -> None:
    """It would wait for six seconds, and then say that nothing is known."""
    heli = start("started", "sh", "-c", "exit 3")
    assert heli.stdout
    assert heli.stdout.readline() == "ended\n"
    heli.send_signal(getattr(signal, f"SIG{name}"))
    assert heli.communicate(timeout=PATIENCE_S) == ("", "")
    assert heli.returncode == 3


def test_who_signals_while_the_backend_is_asked_does_not_wait_for_reasons(
    start: Callable[..., "subprocess.Popen[str]"], backend: SignallingBackend, tmp_path: Path
) -> None:
    node = tmp_path / "node"
    node.write_text(f'#!/bin/sh\n[ "$1" = --version ] && touch {tmp_path}/looked\nexit 3\n')
    node.chmod(0o755)
    heli = start("running", str(node))
    backend.caller = heli.pid
    assert heli.communicate(timeout=PATIENCE_S) == ("ended\n", "")
    assert heli.returncode == 3
    assert not (tmp_path / "looked").exists()


def test_signals_from_before_the_end_keep_no_line_back(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    """`timeout` sends two at once; the program ends of the first, and heli has not looked at the second."""
    heli = start("running", "sh", "-c", "trap '' HUP TERM; kill -HUP $PPID; kill -TERM $PPID; exit 3")
    _, said = heli.communicate(timeout=PATIENCE_S)
    assert said.startswith("heli: what this run came to is not known yet")
    assert heli.returncode == 3


def test_a_full_pipe_that_nobody_reads_does_not_keep_heli(
    start: Callable[..., "subprocess.Popen[str]"], full_pipe: int
) -> None:
    heli = start("running", "sh", "-c", "exit 3", stderr=full_pipe)
    try:
        assert heli.wait(PATIENCE_S / 3) == 3
    finally:
        heli.kill()
        heli.communicate()


def test_a_line_longer_than_what_a_pipe_takes_at_once_arrives_whole() -> None:
    code = "from heli.cli.runs.last_words import tell; tell('ü' * 100_000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    assert done.stderr.decode() == "ü" * 100_000 + "\n"

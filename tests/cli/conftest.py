"""A runner for commands: the real entry point in this process, on files and ports of its own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from heli.cli import terminal
from heli.cli.main import run
from tests.cli.fake_backend import FakeBackend


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of the machine's own heli, colours or time zone reaches a test."""
    for name in list(os.environ):
        if name.startswith(("HELI_", "FORCE_COLOR", "CLICOLOR", "NO_COLOR", "PAGER", "COLUMNS")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HELI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def heli(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ran]]:
    def heli(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return Ran(int(code), out, err)

    yield heli
    terminal.wish_color(terminal.Color.AUTO)
    terminal.wish_verbosity(0)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    backend = FakeBackend()
    monkeypatch.setenv("HELI_BACKEND__URL", backend.url)
    yield backend
    backend.close()

"""Text for people is wrapped between words on a terminal, and not at all in a pipe."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heli.cli.commands import COMMANDS
from heli.cli.doctor.command import Report, lines_of
from heli.cli.doctor.finding import finding
from heli.cli.doctor.runtimes import Tried
from heli.cli.printable import beside, cells, wrapped
from tests.cli.conftest import Ran
from tests.cli.fake_backend import FakeBackend, a_request
from tests.cli.real_terminal import Terminal


def test_lines_end_between_words_and_a_long_word_stays_whole() -> None:
    assert wrapped("one two  three", 8) == ["one two", "three"]
    assert wrapped("a /very/long/path b", 6) == ["a", "/very/long/path", "b"]
    assert wrapped("", 6) == [""]
    assert (
        beside("name  ", "some words that go on and on", 26) == "name  some words that go\n      on and on\n"
    )


def test_doctor_wraps_what_it_says() -> None:
    words = "something is not as it should be, and this sentence says in many words what that is"
    tried = Tried(
        runtime="curl",
        library="",
        place="/usr/bin/curl",
        uses_proxy=False,
        accepts_authority=None,
        streams=None,
        trouble=words,
        fix=words,
    )
    report = Report(well=False, checks=[finding("ports", words, words)], runtimes=[tried])

    lines = "".join(lines_of(report, is_colored=False, columns=60)).splitlines()

    assert all(cells(line) <= 60 for line in lines)
    assert {word for line in lines for word in line.split()} >= set(words.split())
    assert sum(words in line for line in "".join(lines_of(report, is_colored=False)).splitlines()) == 4


@pytest.mark.parametrize("words", [["--help"], ["help", "filters"], *([name, "--help"] for name in COMMANDS)])
def test_help_fits_eighty_columns(
    heli: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert [line for line in heli(*words).out.splitlines() if cells(line) > 80] == []


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
@pytest.mark.parametrize("columns", [60, 80])
def test_no_word_of_a_shown_call_is_split(
    backend: FakeBackend, home: Path, tmp_path: Path, columns: int
) -> None:
    backend.requests = [
        a_request(
            status=429,
            error_class="rate_limit",
            error_message="you have sent more requests than your plan allows within one minute, wait " * 3,
            properties={"directory": "/work/project", "branch": "some-branch", "command": "python agent.py"},
            cost_usd=None,
            cost_reason="the reply names a model that no price list knows, so that nothing can be said",
        )
    ]
    environment = {"HELI_HOME": str(home), "HELI_BACKEND__URL": backend.url, "TZ": "UTC"}
    terminal = Terminal(tmp_path, environment, columns, 50)
    try:
        terminal.type(  # without a prompt, which root's shell writes as it likes
            f"PS1=; unset COLUMNS; {sys.executable} -m heli show @last >whole;"
            f" {sys.executable} -m heli show @last"
        )
        shown = terminal.until(lambda screen: "--curl" in screen.partition("next ")[2])
    finally:
        terminal.close()

    whole = (tmp_path / "whole").read_text()
    assert max(map(len, whole.splitlines())) > 150
    begin = shown.index("00017f ")
    assert set(shown[begin:].split()) <= set(whole.split())

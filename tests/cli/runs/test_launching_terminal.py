"""On a real terminal: its signals, its size and its modes are the program's, and the shell's jobs work."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.real_terminal import Terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")

ROOT = Path(__file__).parents[3]
LAUNCH = f"{sys.executable} {Path(__file__).with_name('launch.py')}"

COUNTS = """
import signal, sys, time
def note(number, frame):
    print("got", signal.Signals(number).name, flush=True)
signal.signal(signal.SIGINT, note)
signal.signal(signal.SIGQUIT, note)
signal.signal(signal.SIGWINCH, lambda *_: print("size", *__import__("os").get_terminal_size(), flush=True))
print("ready", flush=True)
for line in sys.stdin:
    print("read", line.strip(), flush=True)
    if line.strip() == "leave": sys.exit(7)
"""
RAW = """
import os, sys, termios, tty
before = termios.tcgetattr(0)
tty.setraw(0)
print("raw ready", end="\\r\\n", flush=True)
key = os.read(0, 1)
termios.tcsetattr(0, termios.TCSADRAIN, before)
print("key", key, "foreground", os.tcgetpgrp(0) == os.getpgrp(), flush=True)
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    counts, raw = tmp_path / "counts.py", tmp_path / "raw.py"
    counts.write_text(COUNTS)
    raw.write_text(RAW)
    environment = {"PS1": "$ ", "PYTHONPATH": str(ROOT)}
    opened = Terminal(tmp_path, environment, 100, 24, shell="bash --norc -i")
    yield opened
    opened.close()


def count(screen: str, words: str) -> int:
    return sum(line.strip() == words for line in screen.splitlines())


def test_keys_that_signal_reach_the_program_once(terminal: Terminal) -> None:
    terminal.type(f"{LAUNCH} {sys.executable} counts.py; echo code $?")
    terminal.until(lambda screen: count(screen, "ready"))

    terminal.press("C-c")
    terminal.until(lambda screen: "got SIGINT" in screen)
    terminal.press("C-\\")
    terminal.until(lambda screen: "got SIGQUIT" in screen)
    terminal.type("leave")

    screen = terminal.until(lambda screen: "code 7" in screen)
    assert screen.count("got SIGINT") == screen.count("got SIGQUIT") == 1
    assert "Traceback" not in screen


def test_ctrl_c_ends_a_program_and_the_loop_around_it(terminal: Terminal) -> None:
    terminal.type(f"for i in 1 2 3; do {LAUNCH} sh -c 'echo turn; sleep 30'; done; echo left $?")
    terminal.until(lambda screen: count(screen, "turn"))

    terminal.press("C-c")
    terminal.type("echo after")

    screen = terminal.until(lambda screen: count(screen, "after"))
    assert count(screen, "turn") == 1


def test_the_program_learns_of_a_new_size(terminal: Terminal) -> None:
    terminal.type(f"{LAUNCH} {sys.executable} counts.py")
    terminal.until(lambda screen: count(screen, "ready"))
    terminal.resize(70, 20)
    terminal.until(lambda screen: re.search(r"size 70 20", screen))


def test_ctrl_z_and_fg_work_as_for_any_job(terminal: Terminal) -> None:
    terminal.type(f"{LAUNCH} {sys.executable} counts.py; echo code $?")
    terminal.until(lambda screen: count(screen, "ready"))

    terminal.press("C-z")
    terminal.until(lambda screen: "Stopped" in screen)
    terminal.type("echo still here")
    terminal.until(lambda screen: count(screen, "still here"))
    terminal.type("fg")
    terminal.type("words")
    terminal.until(lambda screen: count(screen, "read words"))
    terminal.press("C-z")
    terminal.until(lambda screen: screen.count("Stopped") == 2)
    terminal.type("fg")
    terminal.type("leave")

    terminal.until(lambda screen: "launched program has ended" in screen)
    terminal.type("jobs; echo none left")
    screen = terminal.until(lambda screen: count(screen, "none left"))
    assert screen.count("Stopped") == 2


def test_raw_keys_and_the_foreground_are_the_programs(terminal: Terminal) -> None:
    terminal.type(f"{LAUNCH} {sys.executable} raw.py; echo code $?")
    terminal.until(lambda screen: "raw ready" in screen)
    terminal.press("C-c")
    terminal.until(lambda screen: r"key b'\x03' foreground True" in screen and "code 0" in screen)


def test_a_program_in_the_background_runs_on(terminal: Terminal) -> None:
    terminal.type(f"{LAUNCH} sh -c 'sleep 0.2; exit 4' & wait %1; echo code $?")
    terminal.until(lambda screen: "code 4" in screen)


def test_a_closed_terminal_ends_the_program(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type(f"{LAUNCH} sh -c 'trap \"touch left; exit\" HUP; echo waits; while :; do sleep 0.1; done'")
    terminal.until(lambda screen: count(screen, "waits"))
    terminal.close_pane()
    terminal.wait((tmp_path / "left").exists)

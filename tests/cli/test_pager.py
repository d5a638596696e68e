"""The pager: on a terminal only, the one that was chosen, left whenever one likes."""

import os
import pty
import subprocess
import sys

import pytest


def paged(environment: dict[str, str], text: str = "'hello\\n'", stdout: str = "terminal") -> str:
    """What arrives when a text, given as Python, is paged on a terminal, or in a pipe."""
    code = f"from heli.cli.pager import page; page({text})"
    environment = {name: value for name, value in os.environ.items() if "PAGER" not in name} | environment
    if stdout == "pipe":
        ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        return ran.stdout.decode()
    reading, writing = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=writing) as process:
        os.close(writing)
        shown = b""
        while piece := _read(reading):
            shown += piece
        os.close(reading)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # How Linux says that a terminal has no writer left.
        return b""


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"PAGER": "sed s/hello/paged/"}, "paged\n"),
        ({"PAGER": "false", "HELI_PAGER": "sed s/hello/mine/"}, "mine\n"),
        ({"HELI_PAGER": "", "PAGER": "false"}, "hello\n"),
        ({"PAGER": "cat"}, "hello\n"),
        ({"PAGER": "no-such-pager"}, "hello\n"),
    ],
)
def test_the_chosen_pager_is_used(environment, shown):
    assert paged(environment) == shown


def test_a_pipe_is_never_paged():
    assert paged({"PAGER": "sed s/hello/paged/"}, stdout="pipe") == "hello\n"


def test_leaving_the_pager_early_is_no_error():
    assert paged({"PAGER": "head -n 1"}, "'first\\n' + 'more\\n' * 100_000") == "first\n"

"""The program is launched as without heli: exit codes, signals, files and arguments are its own."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

LAUNCH = [sys.executable, str(Path(__file__).with_name("launch.py"))]
ROOT = Path(__file__).parents[3]
PATIENCE_S = 20.0
NAMES = ("HUP", "INT", "QUIT", "ABRT", "USR1", "USR2", "PIPE", "ALRM", "TERM", "XCPU", "VTALRM", "PROF")
AFTER_THE_END = {name: getattr(signal, f"SIG{name}") for name in NAMES} | {
    "real-time": getattr(signal, "SIGRTMIN", signal.SIGTERM)
}

TRAPS = """
import os, signal, sys, time
told = []
def note(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM: sys.exit(9)
for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "WINCH"):
    signal.signal(getattr(signal, "SIG" + name), note)
print("ready", os.getpid(), os.getppid(), os.getpgrp(), flush=True)
while True: time.sleep(1)
"""


def launch(*command: str, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*LAUNCH, *command], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, **options
    )


@pytest.fixture
def trapping() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*LAUNCH, sys.executable, "-c", TRAPS],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout
    process.stdout.close()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.parametrize("code", [0, 1, 7, 42, 255])
def test_the_exit_code_is_the_programs(code: int) -> None:
    assert launch("sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "HUP", "INT", "PIPE"])
def test_an_end_by_a_signal_is_128_and_its_number(name: str) -> None:
    expected = 128 + getattr(signal, f"SIG{name}")
    assert launch("sh", "-c", f"kill -{name} $$").returncode == expected


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_keeps_no_program_from_running(closed: str, tmp_path: Path) -> None:
    done = tmp_path / "done"
    words = " ".join(map(shlex.quote, [*LAUNCH, "sh", "-c", f"echo ran >{done}; exit 6"]))
    ended = subprocess.run(["sh", "-c", f"{words} {closed}"], check=False, capture_output=True, cwd=ROOT)
    assert (ended.returncode, done.read_text()) == (6, "ran\n")


def test_a_second_signal_does_not_take_the_exit_code_away() -> None:
    """`timeout` signals the group, and heli once more: by then the program may have ended of the first."""
    program = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(7))\n"
    program += "print('ready', flush=True)\nwhile True: time.sleep(1)"
    for pause_s in (0.0, 0.005, 0.01, 0.02, 0.03):
        heli = subprocess.Popen(
            [*LAUNCH, sys.executable, "-S", "-c", program],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        assert line(heli) == "ready"
        os.killpg(heli.pid, signal.SIGTERM)
        time.sleep(pause_s)
        heli.terminate()
        assert heli.wait(PATIENCE_S) == 7
        assert heli.stdout
        heli.stdout.close()


def test_no_signal_after_the_end_takes_the_exit_code_away() -> None:
    signalled = "import os, sys; from heli.cli.runs.launching import end_like, run_program; "
    signalled += "ended = run_program(['sh', '-c', 'exit 3'], os.environ); "
    signalled += "os.kill(os.getpid(), int(sys.argv[1])); sys.exit(end_like(ended))"
    codes = {
        name: subprocess.run([sys.executable, "-c", signalled, str(number)], check=False, cwd=ROOT).returncode
        for name, number in AFTER_THE_END.items()
    }
    assert codes == dict.fromkeys(AFTER_THE_END, 3)


def test_an_alarm_that_was_set_before_rings_for_the_program() -> None:
    """As by `perl -e 'alarm 5; exec @ARGV' heli run -- PROGRAM`."""
    alarmed = "import os, signal, sys; signal.setitimer(signal.ITIMER_REAL, 1); "
    alarmed += "os.execv(sys.argv[1], sys.argv[1:])"
    rings = "trap 'exit 4' ALRM; while :; do sleep 0.05; done"
    done = subprocess.run(
        [sys.executable, "-c", alarmed, *LAUNCH, "sh", "-c", rings],
        capture_output=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 4


def test_a_program_that_does_not_exist_is_127(tmp_path: Path) -> None:
    assert launch("no-such-program").returncode == 127
    assert launch(str(tmp_path / "nothing")).returncode == 127


def test_a_program_that_cannot_be_executed_is_126(tmp_path: Path) -> None:
    plain, broken = tmp_path / "plain", tmp_path / "broken"
    plain.write_text("echo hi\n")
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    assert launch(str(plain)).returncode == 126
    assert launch(str(tmp_path)).returncode == 126
    assert launch(str(broken)).returncode == 126
    assert launch("plain", env={**os.environ, "PATH": f"{tmp_path}:/bin"}).returncode == 126


def test_a_script_without_a_first_line_is_the_shells(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$1"; exit 5\n')
    script.chmod(0o755)
    done = launch(str(script), "a word")
    assert (done.returncode, done.stdout) == (5, "a word\n")


def test_words_pass_as_they_are() -> None:
    words = ["", "a b", "$HOME", "--", "-x", "ümläut", "new\nline", "'\"\\"]
    done = launch(sys.executable, "-c", "import sys, json; print(json.dumps(sys.argv[1:]))", *words)
    assert json.loads(done.stdout) == words


def test_the_three_streams_are_the_programs() -> None:
    done = launch("sh", "-c", "cat; echo talk >&2", input="data\n")
    assert done.stdout == "data\n"
    assert done.stderr.startswith("talk\n")


def test_open_descriptors_are_handed_on(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as stream:
        write = f"import os; os.write({stream.fileno()}, b'hi')"
        launch(sys.executable, "-c", write, pass_fds=(stream.fileno(),))
    assert (tmp_path / "file").read_text() == "hi"


def test_dispositions_and_mask_are_a_fresh_programs() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells of a process's signals in a file")
    show = ["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"]
    plain = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert signals_of(launch(*show).stdout) == signals_of(plain)


def signals_of(told: str) -> list[int]:
    """The sets as numbers, without the two that the C library keeps to itself."""
    return [int(row.split()[1], 16) & ~(0b11 << 31) for row in told.splitlines()]


@pytest.mark.parametrize("name", ["INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "WINCH"])
def test_a_signal_sent_to_heli_alone_reaches_the_program(
    trapping: "subprocess.Popen[str]", name: str
) -> None:
    assert line(trapping).startswith("ready")
    trapping.send_signal(getattr(signal, f"SIG{name}"))
    assert line(trapping) == f"got SIG{name}"
    trapping.terminate()
    assert line(trapping) == "got SIGTERM"
    assert trapping.wait(PATIENCE_S) == 9


def test_a_program_that_ends_by_a_signal_to_its_group_is_not_signalled_again(tmp_path: Path) -> None:
    """`once` ends of the first one, and would end otherwise of the second."""
    once = """
import signal, sys, time
def end(number, frame):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(99))
    time.sleep(0.01)
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(1)
"""
    process = subprocess.Popen(
        [*LAUNCH, sys.executable, "-c", once],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    assert line(process) == "ready"
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 3
    assert process.stdout
    process.stdout.close()


def test_a_stopped_program_stops_heli_and_goes_on_with_it(trapping: "subprocess.Popen[str]") -> None:
    _, child, parent, _ = line(trapping).split()
    assert int(parent) == trapping.pid
    os.kill(int(child), signal.SIGSTOP)
    _, status = os.waitpid(trapping.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)

    os.kill(trapping.pid, signal.SIGCONT)
    trapping.send_signal(signal.SIGUSR1)
    assert line(trapping) == "got SIGUSR1"


def test_an_ignored_child_signal_of_the_parent_does_no_harm() -> None:
    ignoring = "import signal, subprocess, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    ignoring += "import os; os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", ignoring, *LAUNCH, "sh", "-c", "exit 6"],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 6


def test_a_program_that_is_waited_for_takes_no_time_of_the_machine(
    trapping: "subprocess.Popen[str]",
) -> None:
    clock = Path(f"/proc/{trapping.pid}/stat")
    if not clock.exists():
        pytest.skip("only Linux tells of a process's time in a file")
    assert line(trapping).startswith("ready")
    before = clock.read_text().rpartition(")")[2].split()[11:13]
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        os.sched_yield()
    assert clock.read_text().rpartition(")")[2].split()[11:13] == before

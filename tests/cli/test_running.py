"""`heli up`, `down` and `status` as commands; the processes themselves are in supervisor/."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from heli.cli.supervisor.log_file import bound, last_complaint, open_log
from heli.cli.supervisor.port_check import holder_of
from heli.cli.supervisor.process_file import ProcessFile, find_running
from heli.cli.supervisor.recovery import clear_the_way, wait_for_end
from heli.schema.errors import ConflictError, ExitCode
from heli.schema.heartbeat import GatewaySpool, WorkerSpool
from heli.schema.paths import read_or_make_secret

PORTS = ("OPENAI", "ANTHROPIC", "GATEWAY", "LOG_API", "BACKEND", "STORE")


@pytest.fixture
def ports(free_ports: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    found = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    for name, port in found.items():
        monkeypatch.setenv(f"HELI_PORTS__{name}", str(port))
    return found


@pytest.fixture
def busy(ports: dict[str, int]) -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports["ANTHROPIC"]))
        listener.listen()
        yield ports["ANTHROPIC"]


@pytest.mark.parametrize("flags", [[], ["-d"]])
def test_a_busy_port_is_one_sentence_and_nothing_runs(heli, home, busy, flags):
    ran = heli("up", *flags)

    assert ran.code == ExitCode.CONFLICT
    sentence, hint = ran.err.splitlines()
    assert sentence.startswith(f"heli: port {busy} (ports.anthropic) is taken by ")
    assert "set HELI_PORTS__ANTHROPIC=" in hint
    assert find_running(home / "state" / "processes", "up") is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_holder_of_a_port_is_named(busy):
    assert f"(pid {os.getpid()})" in holder_of(busy)


def test_status_when_nothing_runs(heli, ports):
    ran = heli("status")

    assert ran.code == ExitCode.UNREACHABLE
    assert "`heli up` starts it" in ran.err
    assert [line.split()[:2] for line in ran.out.splitlines()[1:5]] == [
        ["gateway", "down"],
        ["intercept", "down"],
        ["backend", "down"],
        ["store", "down"],
    ]


def test_status_tells_of_gateways_on_other_machines(heli, home, backend, ports):
    own_id = read_or_make_secret(home / "state" / "gateway-id")
    known = {"bytes": 2_000, "oldest_s": 3.0, "dropped_bodies": 0, "lost_records": 0, "lost_bytes": 0}
    worker = WorkerSpool(worker="gateway-0", records=12, dropped_records=1, dead_letters=2, **known)
    backend.gateways = [
        GatewaySpool(gateway=own_id, host="here", heard_s_ago=0.1, workers=[worker]),
        GatewaySpool(gateway="other", host="web-1", heard_s_ago=1.0, workers=[worker, worker]),
    ]

    ran, tree = heli("status"), json.loads(heli("status", "--json").out)

    assert (
        "web-1: spool 24 waiting · 3.9 KiB · oldest 3.0s · dropped 2 · could not be stored 4"
        in ran.out.splitlines()
    )
    assert "here:" not in ran.out
    assert [gateway["host"] for gateway in tree["gateways"]] == ["web-1"]
    assert tree["gateways"][0]["workers"][0]["records"] == 12


def test_status_says_what_is_not_heli_s(heli, busy):
    tree = json.loads(heli("status", "--json").out)

    assert not tree["running"]
    assert {process["name"]: process["state"] for process in tree["processes"]}["store"] == "down"


def test_status_is_told_to_programs(heli, ports):
    ran = heli("status", "--json")

    assert ran.code == ExitCode.UNREACHABLE
    tree = json.loads(ran.out)
    assert tree["processes"][0]["ports"] == {
        "openai": ports["OPENAI"],
        "anthropic": ports["ANTHROPIC"],
        "gateway": ports["GATEWAY"],
        "log_api": ports["LOG_API"],
    }
    assert tree["spool"] == []
    assert tree["lag_s"] is None
    assert tree["dropped"] == 0


def test_status_shows_a_process_that_runs_alone(heli, home, ports):
    with ProcessFile.claim(home / "state" / "processes", "store", {"store": 1}):
        ran = heli("status", "--json")

    assert ran.code == ExitCode.OK
    store = json.loads(ran.out)["processes"][3]
    assert (store["pid"], store["port"], store["state"]) == (os.getpid(), 1, "not answering")


def test_down_without_heli_is_no_error(heli):
    ran = heli("down")

    assert (ran.code, ran.err) == (ExitCode.OK, "heli is not running\n")


def test_a_second_up_says_so_and_is_no_error(heli, home, ports):
    with ProcessFile.claim(home / "state" / "processes", "up", {}):
        for flags in ([], ["-d"]):
            ran = heli("up", *flags)
            assert ran.code == ExitCode.OK
            assert f"heli runs already (pid {os.getpid()}" in ran.err


def test_up_refuses_beside_a_process_that_somebody_runs_alone(heli, home, ports):
    with ProcessFile.claim(home / "state" / "processes", "store", {}):
        ran = heli("up")

    assert ran.code == ExitCode.CONFLICT
    assert f"store runs already, alone (pid {os.getpid()})" in ran.err


def test_a_file_that_was_left_behind_never_lies(tmp_path):
    code = (
        "import sys, os, pathlib\n"
        "from heli.cli.supervisor.process_file import ProcessFile\n"
        "ProcessFile.claim(pathlib.Path(sys.argv[1]), 'up', {})\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)

    assert (tmp_path / "up.json").exists()
    assert find_running(tmp_path, "up") is None
    with ProcessFile.claim(tmp_path, "up", {"a": 1}):
        assert find_running(tmp_path, "up").ports == {"a": 1}
    assert find_running(tmp_path, "up") is None


def test_a_name_is_claimed_once(tmp_path):
    with (
        ProcessFile.claim(tmp_path, "up", {}),
        pytest.raises(ConflictError, match=rf"up runs already \(pid {os.getpid()}\)"),
    ):
        ProcessFile.claim(tmp_path, "up", {})


def test_what_a_killed_heli_left_behind_is_waited_for_and_then_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("heli.cli.supervisor.recovery.PATIENCE_S", 0.2)
    code = (
        "import sys, pathlib, time\n"
        "from heli.cli.supervisor.process_file import ProcessFile\n"
        "claim = ProcessFile.claim(pathlib.Path(sys.argv[1]), 'gateway', {})\n"
        "print('claimed', flush=True)\n"
        "time.sleep(600)"
    )
    leftover = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        stdout=subprocess.PIPE,
        env=os.environ | {"_HELI_SUPERVISOR": "1"},
        process_group=0,
    )
    with leftover:
        leftover.stdout.readline()
        said: list[str] = []

        clear_the_way(tmp_path, ["gateway", "backend"], said.append)

        assert leftover.wait(20) == -9
    assert said == ["an earlier heli was killed; waiting for its calls in flight to end"]
    assert find_running(tmp_path, "gateway") is None


def test_waiting_for_an_end_has_an_end(tmp_path):
    assert not wait_for_end(os.getpid(), 0.05)
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert wait_for_end(gone.pid, 5)


def test_logs_are_private_and_bounded(tmp_path):
    file, descriptor = open_log(tmp_path, "gateway")
    for number in range(4):
        os.write(descriptor, b"%d\n" % number * 100)
        bound(file, max_bytes=100)
    os.write(descriptor, b"heli: no\n      try\nmore\n")
    os.close(descriptor)

    assert file.read_text() == "heli: no\n      try\nmore\n"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["gateway.log", "gateway.log.1", "gateway.log.2"]
    assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}
    assert last_complaint(file) == ("no", "try")
    assert last_complaint(tmp_path / "gateway.log.1") == ("", "")


def test_a_full_disk_does_not_keep_a_process_from_running(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    file, descriptor = open_log(tmp_path, "gateway")
    os.write(descriptor, b"x" * 200)
    monkeypatch.setattr("shutil.copyfile", full)
    bound(file, max_bytes=100)
    os.close(descriptor)
    assert file.stat().st_size == 0
    assert [one.name for one in tmp_path.iterdir()] == ["gateway.log"]

    monkeypatch.setattr("heli.cli.supervisor.log_file.make_private", full)
    _, descriptor = open_log(tmp_path, "store")
    assert os.write(descriptor, b"goes nowhere") == 12
    os.close(descriptor)

"""The supervisor with real processes: start, readiness, restart with back-off, drain, kill, orphans."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from heli.cli.supervisor.events import AllReady, Died, Draining, Event, Killed, Ready, Started
from heli.cli.supervisor.process_file import find_running
from heli.cli.supervisor.recovery import wait_for_end
from heli.cli.supervisor.services import Probe, Service
from heli.schema.errors import ExitCode

HERE = Path(__file__).parent
LIMIT_S = 20


class Up:
    """A running supervisor; its events are read one by one."""

    def __init__(self, folder: Path, services: list[Service]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, HERE / "fake_up.py", folder, msgspec.json.encode(services).decode()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def until(self, kind: type[Event], name: str = "") -> Event:
        for event in self.events():
            if isinstance(event, kind) and (not name or getattr(event, "name", name) == name):
                return event
        raise AssertionError(f"it ended without {kind.__name__}: {self.process.stderr.read()!r}")

    def events(self) -> Iterator[Event]:
        for line in self.process.stdout:
            yield msgspec.json.decode(line, type=Event)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        list(self.events())
        return self.process.wait(LIMIT_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    running: list[Up] = []

    def start(*services: Service) -> Up:
        running.append(Up(tmp_path, list(services)))
        return running[-1]

    yield start
    for up in running:
        if up.process.poll() is None:
            up.process.terminate()
            up.process.send_signal(signal.SIGINT)
        up.process.wait(LIMIT_S)
        up.process.stdout.close()
        up.process.stderr.close()


@pytest.fixture
def a_service(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> Callable[..., Service]:
    ports = iter(free_ports(3))

    def a_service(name: str = "one", mood: str = "", drain_s: float = 5.0) -> Service:
        port = next(ports)
        return Service(
            name=name,
            command=[sys.executable, str(HERE / "fake_child.py"), str(port), str(tmp_path / name), mood],
            ports={name: port},
            probes=[Probe("127.0.0.1", port, "/ping")],
            drain_s=drain_s,
        )

    return a_service


def lives(folder: Path, name: str) -> list[int]:
    return [int(file.name) for file in (folder / name).iterdir() if file.name.isdigit()]


def make_it_die(service: Service) -> None:
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{service.probes[0].port}/die", timeout=5).close()


def test_all_are_started_and_told_ready(start, a_service, tmp_path):
    up = start(a_service("one"), a_service("two"))

    up.until(AllReady)

    record = find_running(tmp_path / "processes", "up")
    assert record.pid == up.process.pid
    assert [(child.name, child.state) for child in record.children] == [("one", "ready"), ("two", "ready")]
    assert all(child.ready_s > 0 for child in record.children)


def test_a_signal_drains_them_in_order(start, a_service, tmp_path):
    up = start(a_service("one"), a_service("two"))
    up.until(AllReady)

    up.process.terminate()
    told = [event.name for event in up.events() if isinstance(event, Draining)]

    assert up.process.wait(LIMIT_S) == ExitCode.OK
    assert told == ["one", "two"]
    assert (tmp_path / "one" / "drained").exists()
    assert (tmp_path / "two" / "drained").exists()
    assert find_running(tmp_path / "processes", "up") is None


def test_who_does_not_end_in_time_is_killed(start, a_service):
    up = start(a_service("one", mood="deaf", drain_s=0.3))
    up.until(AllReady)

    up.process.terminate()
    told = list(up.events())

    assert up.process.wait(LIMIT_S) == ExitCode.OK
    assert any(isinstance(event, Killed) for event in told)


def test_a_second_signal_does_not_wait(start, a_service):
    up = start(a_service("one", mood="deaf", drain_s=60))
    up.until(AllReady)
    up.process.send_signal(signal.SIGINT)
    up.until(Draining)
    begun = time.monotonic()

    up.process.send_signal(signal.SIGINT)

    assert up.process.wait(LIMIT_S) == ExitCode.OK
    assert time.monotonic() - begun < 10


def test_who_dies_is_started_again(start, a_service, tmp_path):
    one, two = a_service("one"), a_service("two")
    up = start(one, two)
    up.until(AllReady)

    make_it_die(one)
    died = up.until(Died, "one")
    up.until(Ready, "one")

    assert died.reason == "exit code 1"
    assert len(lives(tmp_path, "one")) == 2
    assert len(lives(tmp_path, "two")) == 1
    child = find_running(tmp_path / "processes", "up").children[0]
    assert (child.state, child.restarts) == ("ready", 1)


def test_a_killed_child_is_started_again(start, a_service):
    up = start(a_service())
    pid = up.until(Started).pid
    up.until(AllReady)

    os.kill(pid, signal.SIGKILL)

    assert up.until(Died).reason == "signal 9"
    assert up.until(Started).pid != pid


def test_the_pauses_between_deaths_double(start, a_service):
    up = start(a_service(mood="die"))

    assert [up.until(Died).retry_s for _ in range(3)] == [0.2, 0.4, 0.8]


def test_one_that_cannot_run_at_all_ends_everything_with_its_own_words(start, a_service, tmp_path):
    up = start(a_service("one"), a_service("two", mood="refuse"))

    list(up.events())

    assert up.process.wait(LIMIT_S) == ExitCode.USAGE
    assert up.process.stderr.read() == b"heli: the moon is full / wait a few days\n"
    # The other one may have been ended before it came to leave a trace.
    began = lives(tmp_path, "one") if (tmp_path / "one").exists() else []
    assert all(wait_for_end(pid, 5) for pid in began)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_a_killed_supervisor_leaves_nobody_behind(start, a_service, tmp_path):
    up = start(a_service("one"), a_service("two"))
    up.until(AllReady)

    up.process.kill()

    assert all(wait_for_end(pid, 5) for name in ("one", "two") for pid in lives(tmp_path, name))
    assert find_running(tmp_path / "processes", "up") is None


def test_a_new_one_runs_after_a_killed_one(start, a_service):
    service = a_service()
    killed = start(service)
    pid = killed.until(Started).pid
    killed.until(AllReady)
    killed.process.kill()
    assert wait_for_end(pid, 5)

    up = start(service)

    assert isinstance(up.until(AllReady), AllReady)


def test_a_second_one_is_refused(start, a_service):
    up = start(a_service("one"))
    up.until(AllReady)

    second = start(a_service("two"))

    assert second.process.wait(LIMIT_S) == ExitCode.CONFLICT
    assert f"up runs already (pid {up.process.pid})".encode() in second.process.stderr.read()


def test_what_children_say_goes_to_a_private_file(start, a_service, tmp_path):
    up = start(a_service("one", mood="refuse"))

    up.process.wait(LIMIT_S)

    log = tmp_path / "logs" / "one.log"
    assert "the moon is full" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_nobody_needs_to_listen(start, a_service, tmp_path):
    service = a_service()
    up = start(service)
    pid = up.until(Started).pid
    up.until(AllReady)
    up.process.stdout.close()

    os.kill(pid, signal.SIGKILL)

    deadline = time.monotonic() + LIMIT_S
    while len(lives(tmp_path, "one")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    up.process.terminate()
    assert up.process.wait(LIMIT_S) == ExitCode.OK

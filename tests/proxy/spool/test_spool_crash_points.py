"""Each named step of writer and shipper is the last one of a process, twice: nothing is lost or doubled."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_backend import FakeBackend
from spool_helpers import a_closed, a_grown, a_whole, an_id, an_opened, spool_settings, wait_until

import heli.proxy.spool
from heli.proxy.spool.crash_points import CRASH_POINTS
from heli.proxy.spool.dead_letters import list_dead_letters
from heli.proxy.spool.segments import list_segments
from heli.proxy.spool.survey import survey
from heli.proxy.spool.writer import Spool
from heli.schema.exchange import Outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
WRITER_POINTS = sorted(name for name in CRASH_POINTS if name.startswith("spool."))
SHIPPER_POINTS = sorted(set(CRASH_POINTS) - set(WRITER_POINTS))
CALLS = 60
REJECTED = 7


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    backend = FakeBackend().start()
    yield backend
    backend.stop()


@pytest.fixture
def environment(tmp_path: Path, backend: FakeBackend) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HELI_")}
    return clean | {
        "HELI_HOME": str(tmp_path),
        "HELI_BACKEND__URL": backend.url,
        "HELI_BACKEND__INGEST_TOKEN": "secret",
        "PYTHONPATH": str(Path(__file__).parent),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spool" / "gateway-0"


def start_shipper(environment: dict[str, str], crash_point: str = "") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "heli.proxy.spool.shipper"]
    return subprocess.Popen(command, env=environment | {"HELI_CRASH_POINT": crash_point})


def end_shipper(shipper: subprocess.Popen[bytes]) -> None:
    shipper.send_signal(signal.SIGTERM)
    assert shipper.wait(20) == 0


def test_every_step_in_the_code_is_in_the_registry() -> None:
    source = "".join(file.read_text() for file in Path(heli.proxy.spool.__path__[0]).glob("*.py"))
    reached = set(re.findall(r'reach\("([^"]+)"\)', source))
    steps = re.findall(r'"(ledger\.\w+)"\)', source)
    reached |= {f"{step}_{what}" for step in steps for what in ("written", "synced")}
    assert reached == set(CRASH_POINTS)


@pytest.mark.parametrize("point", WRITER_POINTS)
def test_the_writer_is_killed(
    point: str, folder: Path, backend: FakeBackend, environment: dict[str, str]
) -> None:
    told: list[int] = []
    for nth in (1, 3):
        first = nth * 100
        command = [sys.executable, str(Path(__file__).with_name("spool_process.py"))]
        writer = subprocess.run(
            [*command, str(folder), str(first), "12"],
            env=environment | {"HELI_CRASH_POINT": f"{point}:{nth}"},
            capture_output=True,
            timeout=60,
            check=False,
        )
        if nth == 1:
            assert writer.returncode == -signal.SIGKILL, writer.stderr
        told += map(int, writer.stdout.split())

    shipper = start_shipper(environment)
    wait_until(lambda: folder.exists() and list_segments(folder) == [])
    end_shipper(shipper)

    assert {an_id(number) for number in told} <= set(backend.stored)
    assert set(backend.sent.values()) <= {1}
    begun = [each for id, each in backend.stored.items() if int.from_bytes(id) > 10_000]
    assert all(each.outcome is Outcome.INTERRUPTED for each in begun)
    for number in {110, 310} & set(told):  # The first group held the call that stayed open.
        assert an_id(number // 100 * 100 + 10_000) in backend.stored


@pytest.mark.parametrize("point", SHIPPER_POINTS)
def test_the_shipper_is_killed(
    point: str, folder: Path, tmp_path: Path, backend: FakeBackend, environment: dict[str, str]
) -> None:
    backend.reject = lambda each: "never" if each.id == an_id(REJECTED) else None
    spool = Spool.open(folder, spool_settings(segment_bytes=80_000))
    fill(spool, range(1, CALLS))
    for nth in (1, 2):
        is_first = nth == 1
        run_shipper_until_killed(environment, f"{point}:{nth}", folder.parent, must_be_killed=is_first)
        fill(spool, range(1000 * nth, 1000 * nth + CALLS))
    numbers = [*range(1, CALLS), *range(1000, 1000 + CALLS), *range(2000, 2000 + CALLS)]
    body = b"".join(b"%d;" % number for number in numbers if is_piece_of_call_0(number))
    spool.append(a_closed(0, request_body_bytes=10, response_body_bytes=len(body)))
    assert spool.wait_until_synced(20)
    shipper = start_shipper(environment)
    backend.wait_for(lambda: an_id(0) in backend.stored, 30)
    spool.close()
    wait_until(lambda: list_segments(folder) == [])
    end_shipper(shipper)

    assert set(backend.stored) == {an_id(number) for number in (0, *numbers)} - {an_id(REJECTED)}
    assert backend.stored[an_id(0)].response_body == body
    assert [letter.reason for letter in list_dead_letters(tmp_path / "data" / "dead-letters")] == ["never"]
    tokens = {token for token, _ in backend.batches}
    assert len(tokens) == len({(token, tuple(ids)) for token, ids in backend.batches})
    assert max(backend.sent.values()) <= 3


def fill(spool: Spool, numbers: range) -> None:
    """Calls that end, and between most of them the pieces of one that does not: call 0."""
    if numbers.start == 1:
        spool.append(an_opened(0))
    for number in numbers:
        if is_piece_of_call_0(number):
            spool.append(a_grown(0, b"%d;" % number))
        spool.append(a_whole(number, response_body=os.urandom(8000)))
    assert spool.wait_until_synced(20)


def is_piece_of_call_0(number: int) -> bool:
    return number % 1000 < CALLS * 2 // 3


def run_shipper_until_killed(
    environment: dict[str, str], crash_point: str, spool: Path, *, must_be_killed: bool
) -> None:
    """Or, if it need not be, until everything is shipped."""
    shipper = start_shipper(environment, crash_point)

    def is_over() -> bool:
        is_done = not must_be_killed and survey(spool)[0].records == 0
        return shipper.poll() is not None or is_done

    wait_until(is_over)
    shipper.terminate()
    assert shipper.wait(20) in ({-signal.SIGKILL} if must_be_killed else {0, -signal.SIGKILL})

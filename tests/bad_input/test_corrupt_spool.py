"""A spool that a disk has damaged: what is intact is shipped, what is not is counted and told."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heli.schema.errors import ExitCode
from tests.bad_input.own_heli import OwnHeli, make_heli
from tests.rel.heli_under_test import wait_until
from tests.rel.ingest_sink import IngestSink
from tests.standin import StandIn

CALLS = 8


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, _standin_process: StandIn) -> Path:
    """The folder of a heli that has recorded some calls, one after the other, and had no backend."""
    home = tmp_path_factory.mktemp("recorded") / "home"
    with make_heli(home, "gateway", upstream=_standin_process.url) as heli:
        for number in range(CALLS):
            heli.call(f"call-{number}")
        wait_until(lambda: heli.status()["spool"][0]["records"] == CALLS, 20, "all calls in the spool")
    return home


@pytest.fixture
def spoiled(
    recorded: Path, tmp_path: Path, _standin_process: StandIn
) -> Iterator[tuple[OwnHeli, IngestSink]]:
    """That heli again, not started, with a backend that takes everything."""
    home = tmp_path / "home"
    shutil.copytree(recorded, home)
    with IngestSink() as sink:
        heli = make_heli(home, "gateway", upstream=_standin_process.url, backend_url=sink.url)
        yield heli, sink
        heli.stop()


def the_segment(heli: OwnHeli) -> Path:
    return max((heli.home / "data/spool/gateway-0").glob("*.seg"), key=lambda file: file.stat().st_size)


def overwrite_middle(segment: Path) -> None:
    with segment.open("r+b") as stream:
        stream.seek(segment.stat().st_size // 2)
        stream.write(os.urandom(64))


def cut_tail(segment: Path) -> None:
    os.truncate(segment, segment.stat().st_size - 100)


def overwrite_all(segment: Path) -> None:
    segment.write_bytes(os.urandom(segment.stat().st_size))


@pytest.mark.parametrize(
    ("spoil", "most_lost"), [(overwrite_middle, 2), (cut_tail, 1), (overwrite_all, CALLS)]
)
def test_what_is_intact_is_shipped_and_the_rest_is_told(
    spoiled: tuple[OwnHeli, IngestSink], spoil: Callable[[Path], None], most_lost: int
) -> None:
    heli, sink = spoiled
    spoil(the_segment(heli))
    heli.start("gateway")
    heli.wait_ready("gateway")
    heli.call("after")
    wait_until(lambda: "after" in sink.by_header("x-marker"), 20, "the call after the damage")
    wait_until(lambda: heli.status()["lag_s"] is None, 20, "an empty spool")

    arrived = {marker for marker in sink.by_header("x-marker") if marker != "after"}
    assert CALLS - most_lost <= len(arrived) < CALLS
    assert max(sink.deliveries.values()) == 1
    worker = heli.status()["spool"][0]
    assert worker["lost_records"] + worker["lost_bytes"] > 0
    if spoil is overwrite_middle:
        assert worker["lost_records"] == CALLS - len(arrived)
    assert "unreadable" in heli.command("status").out
    assert "Traceback" not in heli.log("gateway")


@pytest.mark.parametrize("name", ["counters", "shipped"])
def test_a_folder_where_a_file_should_be_is_told_and_loses_nothing(
    spoiled: tuple[OwnHeli, IngestSink], name: str
) -> None:
    heli, sink = spoiled
    place = heli.home / "data/spool/gateway-0" / name
    place.unlink()
    place.mkdir()
    heli.start("gateway")
    heli.wait_ready("gateway")
    heli.call("after")
    told = heli.command("status")
    assert told.code == ExitCode.OK
    assert f"{place} cannot be read" in told.err
    assert "Traceback" not in told.err + heli.log("gateway")

    place.rmdir()
    wait_until(lambda: len(sink.by_header("x-marker")) >= CALLS, 30, "what was in the spool")
    heli.call("mended")
    wait_until(lambda: "mended" in sink.by_header("x-marker"), 30, "a call after it was mended")
    assert len(sink.by_header("x-marker")) + heli.lost("dropped_records") == CALLS + 2


def test_a_folder_named_like_a_segment_is_none(spoiled: tuple[OwnHeli, IngestSink]) -> None:
    heli, sink = spoiled
    (heli.home / f"data/spool/gateway-0/{99:012}-{1:016x}-{1:016x}.seg").mkdir()
    heli.start("gateway")
    heli.wait_ready("gateway")
    heli.call("after")
    wait_until(lambda: len(sink.by_header("x-marker")) == CALLS + 1, 20, "all calls")
    assert heli.command("status").code == ExitCode.OK
    assert "Traceback" not in heli.log("gateway")


def test_a_file_in_the_place_of_the_spool_stops_no_call(
    spoiled: tuple[OwnHeli, IngestSink],
) -> None:
    heli, _ = spoiled
    folder = heli.home / "data/spool/gateway-0"
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.write_text("not a folder")
    heli.start("gateway")
    heli.wait_ready("gateway")
    heli.call("unrecorded")
    assert "Traceback" not in heli.log("gateway")
    assert "Traceback" not in heli.command("status").err

"""The disk under heli is full: calls go on, drops are counted and told, capture resumes by itself."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.bad_input.own_heli import make_heli, mount_small_disk
from tests.rel.heli_under_test import wait_until
from tests.rel.ingest_sink import IngestSink
from tests.standin import StandIn

BODY_BYTES = 200_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    if reason := mount_small_disk(place, 6):
        pytest.skip(reason)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_calls_go_on_and_capture_resumes(small_disk: Path, standin: StandIn) -> None:
    with IngestSink() as sink:
        heli = make_heli(
            small_disk / "home",
            "gateway",
            upstream=standin.url,
            backend_url=sink.url,
            HELI_SPOOL__SEGMENT_BYTES="262144",
        )
        with heli:
            heli.call("before")
            wait_until(lambda: "before" in sink.by_header("x-marker"), 20, "the first call")
            ballast = small_disk / "ballast"
            fill(ballast)
            for number in range(150):
                heli.call(f"full-{number}", BODY_BYTES)
            wait_until(lambda: heli.lost("dropped_records") + heli.lost("dropped_bodies") > 0, 20, "drops")
            status = heli.command("status")
            assert "Traceback" not in status.err
            assert "dropped" in status.out

            ballast.unlink()
            wait_until(lambda: heli.status()["lag_s"] is None, 40, "an empty spool")
            heli.call("after")
            wait_until(lambda: "after" in sink.by_header("x-marker"), 20, "the call after")
            arrived = [name for name in sink.by_header("x-marker") if name.startswith("full-")]
            assert len(arrived) + heli.lost("dropped_records") == 150
        assert "Traceback" not in heli.log("gateway")


def fill(ballast: Path) -> None:
    with pytest.raises(OSError, match="No space left on device"), ballast.open("wb", buffering=0) as stream:
        write_for_ever(stream)


def write_for_ever(stream: IO[bytes]) -> None:
    while stream.write(bytes(4096)):
        pass

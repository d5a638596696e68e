"""The disk of the spool fills up for good: a real file system, small."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from spool_helpers import a_whole, payloads, spool_settings, wait_until

from heli.proxy.spool.counters import Count
from heli.proxy.spool.writer import Spool


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Two MiB, to be mounted by root only."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_costs_only_what_is_counted_and_capture_goes_on_when_there_is_room(
    small_disk: Path,
) -> None:
    ballast = small_disk / "ballast"
    spool = Spool.open(small_disk / "gateway-0", spool_settings(segment_bytes=256 * 1024))
    ballast.write_bytes(bytes(1_500_000))
    records = [a_whole(number, response_body=os.urandom(20_000)) for number in range(60)]
    taken = [record for record in records if spool.append(record, body_bytes=20_000)]
    wait_until(lambda: spool.counters[Count.WRITE_ERRORS] > 0)
    assert spool.is_nearly_full
    on_disk = payloads(spool.folder)
    assert 0 < len(on_disk) < 60
    assert on_disk == taken[: len(on_disk)]

    ballast.unlink()

    assert spool.wait_until_synced(5)
    wait_until(lambda: not spool.is_nearly_full, 5)
    assert spool.append(a_whole(99))
    spool.close()
    assert payloads(spool.folder) == [*taken, a_whole(99)]
    assert spool.counters[Count.RECORDS_DROPPED] == len(records) - len(taken)

"""A gateway takes as many connections as its process may have files open, and says when that is too few."""

import subprocess
import sys
from pathlib import Path

import pytest

from heli.proxy.gateway.open_files import room_for
from tests.rel.heli_under_test import HeliUnderTest, wait_until

TRY = """
import resource, sys
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from heli.proxy.gateway.open_files import fit_connections
print(fit_connections(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "room", "left"),
    [
        (256, 4096, 1000, 1000, 3024),  # raised to what is needed, and no further
        (256, 1024, 1000, 384, 1024),  # as far as it may be
        (4000, 4096, 100, 100, 4000),  # never lowered
    ],
)
def test_the_limit_is_raised_as_far_as_it_helps(
    soft: int, hard: int, wanted: int, room: int, left: int
) -> None:
    words = [sys.executable, "-c", TRY, str(soft), str(hard), str(wanted)]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert [int(word) for word in told.split()] == [room, left, hard]


@pytest.mark.parametrize("limit", [3, 64, 1024, 20_000])
def test_each_connection_has_two_files_and_something_is_left(limit: int) -> None:
    assert room_for(limit) >= 1
    assert limit < 4 or 2 * room_for(limit) < limit


class Confined(HeliUnderTest):
    """Its processes may not have more than 300 files open."""

    def start(self, part: str) -> None:
        with self.log_file(part).open("ab") as log:
            self._processes[part] = subprocess.Popen(
                ["/bin/sh", "-c", f"ulimit -n 300; exec {sys.executable} -m heli serve {part}"],
                cwd=self.home,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def test_too_low_a_limit_is_told_at_the_start(tmp_path: Path) -> None:
    with Confined(tmp_path, "http://127.0.0.1:1", "gateway") as heli:
        wait_until(lambda: "max_connections" in heli.log("gateway"), 10, "the word about the limit")

    told = heli.log("gateway")
    assert "gateway.max_connections is 8000, but the limit of open files allows a worker 112" in told
    assert "ulimit -n 17024" in told
    assert told.count("max_connections") == 1

"""D17: on a machine that is short of processors no record is lost between the processes of heli.

Whoever reads what another process writes is held up at any moment then, while the other one writes on.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from heli.proxy.spool.file_system import REAL
from heli.proxy.spool.frames import Frame, FrameHeaders
from heli.proxy.spool.reader import FolderReader
from heli.proxy.spool.segments import Segment, make_segment, new_incarnation
from heli.proxy.spool.survey import survey
from tests.rel.heli_under_test import HeliUnderTest, wait_until
from tests.rel.priced_calls import COST_OF_ONE, make_calls
from tests.rel.read_back import ReadBack
from tests.rel.sizes import sized
from tests.standin import StandIn

CALLS = sized(1_000, 20_000)
FRAMES = sized(50_000, 1_000_000)
FRAMES_PER_WRITE = 4
AT_ONCE = 16
HOGS = 2 * (os.cpu_count() or 1)
PADDING = "x" * 6_000
"""So that a record spans pages, which become visible one by one."""


@contextmanager
def hogs() -> Iterator[None]:
    """Processes that want a processor each, all the time."""
    with ExitStack() as stack:
        for _ in range(HOGS):
            hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(hog.wait)
            stack.callback(hog.kill)
        yield


@pytest.mark.slow
@pytest.mark.timeout(sized(240, 2_400))
def test_no_record_is_lost_where_everybody_waits_for_a_processor(standin: StandIn, tmp_path: Path) -> None:
    with HeliUnderTest(tmp_path, standin.url, "store", "backend", "gateway") as heli:
        with hogs():
            make_calls(heli.url(), CALLS, AT_ONCE, PADDING)
            with ReadBack(heli.url("backend")) as log:
                wait_until(lambda: log.totals()[0] >= CALLS, 120, "every call in the log")
        heli.end("gateway")
        (told,) = survey(heli.home / "data" / "spool")
        print(f"D17: {CALLS} calls beside {HOGS} busy processes: {told.lost_records} records lost")
        assert (told.lost_records, told.lost_bytes, told.dropped_records, told.dropped_bodies) == (0, 0, 0, 0)
        with ReadBack(heli.url("backend")) as log:
            assert log.totals() == (CALLS, COST_OF_ONE * CALLS)


@pytest.mark.slow
@pytest.mark.timeout(sized(120, 1_200))
def test_a_reader_at_the_heels_of_a_writer_takes_nothing_for_damage(tmp_path: Path) -> None:
    segment, descriptor = make_segment(tmp_path, 1, new_incarnation(), REAL)
    os.close(descriptor)
    reader = FolderReader(tmp_path)
    reader.refresh(look_for_writer=False)
    writer = multiprocessing.get_context("spawn").Process(target=_write, args=(segment,))
    seen = 0
    with hogs(), ExitStack() as stack:
        stack.callback(segment.file.unlink)
        stack.callback(reader.close)
        writer.start()
        stack.callback(writer.join)
        stack.callback(writer.kill)
        while seen < FRAMES:
            was_writing = writer.is_alive()
            found = reader.next()
            if found is None:
                assert was_writing, f"only {seen} frames"
                continue
            assert isinstance(found[1], Frame), f"after {seen} frames: {found[1]}"
            seen += 1
            assert found[1].sequence == seen


def _write(segment: Segment) -> None:
    """Frames of up to two pages, some in one write, without a pause."""
    headers = FrameHeaders(segment.salt)
    payloads = [os.urandom(8) * (1 + 37 * number % 1_000) for number in range(FRAMES_PER_WRITE * 27)]
    descriptor = os.open(segment.file, os.O_WRONLY | os.O_APPEND)
    for first in range(0, FRAMES, FRAMES_PER_WRITE):
        pieces = []
        for number in range(first, first + FRAMES_PER_WRITE):
            payload = payloads[number % len(payloads)]
            pieces += [headers.make(number + 1, payload), payload]
        os.writev(descriptor, pieces)
    os.close(descriptor)

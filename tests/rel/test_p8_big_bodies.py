"""P8: big bodies pass through the gateway in constant memory, both ways.

What fits below the capture cap is recorded with the right hash; of what does not, the call passes all the
same and the record says how much there was. Where calls are faster than the disk, bodies may be missing from
records, which say so.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from heli.schema.exchange import Exchange
from tests.rel import probe
from tests.rel.conftest import Rig
from tests.rel.heli_under_test import wait_until
from tests.rel.raw_client import connect, json_post
from tests.rel.sizes import sized
from tests.rel.streaming import Transfer, transfer
from tests.standin import pattern_sha256

MAX_GROWTH_BYTES = 32 * probe.MIB
CAPTURE_CAP_BYTES = 32 * probe.MIB
TEN_MB = 10_000_000


@contextmanager
def bounded_memory(rig: Rig, what: str) -> Iterator[None]:
    """The gateway worker's peak may rise by so much and no more."""
    transfer(rig.heli.url(), "/v1/warm-up", 100_000)
    before = probe.forget_peak(rig.heli.worker())
    yield
    growth = probe.read(rig.heli.worker()).peak_bytes - before
    print(f"P8: {what}: the worker grew by {growth / probe.MIB:.1f} MiB")
    assert growth <= MAX_GROWTH_BYTES


def _both_ways(rig: Rig, size: int, case: str, bytes_per_s: float | None = None) -> Transfer:
    headers = (("x-standin", json.dumps({"body_bytes": size})), ("x-case", case))
    return transfer(rig.heli.url(), "/v1/files", size, *headers, bytes_per_s=bytes_per_s, timeout_s=300)


def _assert_passed(rig: Rig, told: Transfer, size: int, case: str) -> None:
    wanted = pattern_sha256(size)
    assert (told.status, told.body_bytes, told.body_sha256) == (200, size, wanted)
    (entry,) = rig.standin.journal(f"x-case: {case}\r")
    assert (entry["body_bytes"], entry["body_sha256"]) == (size, wanted)


def _record(rig: Rig, case: str) -> Exchange:
    return wait_until(lambda: rig.sink.by_header("x-case").get(case), 60, f"the record of {case}")


def _is_recorded_whole(record: Exchange, size: int) -> bool:
    wanted = pattern_sha256(size)
    return all(
        hashlib.sha256(body).hexdigest() == wanted for body in (record.request_body, record.response_body)
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_ten_at_once_of_ten_megabytes_pass_in_bounded_memory(rig: Rig) -> None:
    cases = [f"ten-{number}" for number in range(10)]
    with bounded_memory(rig, "10 x 10 MB both ways at once"), ThreadPoolExecutor(10) as pool:
        told = list(pool.map(lambda case: _both_ways(rig, TEN_MB, case), cases))
    whole = 0
    for case, one in zip(cases, told, strict=True):
        _assert_passed(rig, one, TEN_MB, case)
        record = _record(rig, case)
        assert (record.request_body_bytes, record.response_body_bytes) == (TEN_MB, TEN_MB)
        whole += _is_recorded_whole(record, TEN_MB)
        assert record.bodies_dropped != _is_recorded_whole(record, TEN_MB)
    print(f"P8: of ten calls faster than the disk, {whole} were recorded whole; the others say so")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_body_below_the_cap_is_recorded_with_the_right_hash(rig: Rig) -> None:
    for number in range(sized(3, 30)):
        case = f"one-{number}"
        with bounded_memory(rig, "10 MB both ways, at 5 MB/s"):
            told = _both_ways(rig, TEN_MB, case, bytes_per_s=5_000_000)
        _assert_passed(rig, told, TEN_MB, case)
        assert _is_recorded_whole(_record(rig, case), TEN_MB)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", [100_000_000, sized(300_000_000, 1 << 30)])
def test_a_body_above_the_cap_passes_and_the_record_tells_its_length(rig: Rig, size: int) -> None:
    case = f"big-{size}"
    with bounded_memory(rig, f"{size} bytes both ways"):
        told = _both_ways(rig, size, case)
    _assert_passed(rig, told, size, case)
    record = _record(rig, case)
    for body, length in (
        (record.request_body, record.request_body_bytes),
        (record.response_body, record.response_body_bytes),
    ):
        assert length == size
        assert len(body) == CAPTURE_CAP_BYTES or (record.bodies_dropped and len(body) < CAPTURE_CAP_BYTES)


@pytest.mark.slow
def test_a_reader_that_is_slow_holds_the_provider_back(rig: Rig) -> None:
    """Back-pressure: what the caller does not read is not read from the provider either."""
    size = 200_000_000
    request = json_post(
        "/v1/files", b"{}", ("x-standin", json.dumps({"body_bytes": size})), ("x-case", "slow")
    )
    with bounded_memory(rig, "a caller that does not read"), connect(rig.heli.url()) as plain:
        plain.sendall(request)
        assert plain.recv(1000).startswith(b"HTTP/1.1 200")
        wait_until(lambda: _is_still(rig), 20, "the provider being held back")
    wait_until(lambda: rig.standin.stats()["in_flight"] == 0, 5, "the end of it upstream")
    (entry,) = rig.standin.journal("x-case: slow\r")
    assert entry["reply_bytes"] < size / 2


def _is_still(rig: Rig) -> bool:
    """Whether the worker's memory rests, and the stand-in's reply with it."""
    first = probe.read(rig.heli.worker()).rss_bytes
    time.sleep(0.5)
    return abs(probe.read(rig.heli.worker()).rss_bytes - first) < 100_000

"""D1: kill -9 of the backend and of the store at random moments loses, doubles and changes nothing.

Batches flow into ingest all the while. Everything that was acknowledged must be in the request log once, with
its body, and the costs must add up to the last digit.
"""

import random
import time
from pathlib import Path

import pytest

from tests.rel.heli_under_test import HeliUnderTest
from tests.rel.ingest_client import IngestClient, read_token
from tests.rel.ledger import Ledger, check
from tests.rel.read_back import ReadBack
from tests.rel.sizes import seeded, sized

KILLS = sized(10, 300)
RATE = 200
READY_WITHIN_S = 3.0
SAMPLE = sized(100, 2_000)


@pytest.mark.slow
@pytest.mark.timeout(sized(240, 3_600))
def test_kill_9_of_backend_and_store_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = seeded("D1")
    ledger = Ledger(tmp_path / "ledger")
    started = time.monotonic()
    with HeliUnderTest(tmp_path / "heli", "http://127.0.0.1:9", "store", "backend") as heli:
        client = IngestClient(
            heli.ports["backend"], read_token(heli.home), ledger, random.Random(chance.random()), RATE
        )
        first_start_s = time.monotonic() - started
        client.start()
        kills = [_kill_one(heli, chance) for _ in range(KILLS)]
        time.sleep(1)
        client.stop()
        ledger.close()
        print(f"D1: first start {first_start_s:.2f} s")
        ready = sorted(seconds for seconds, _ in kills)
        slowest = ", ".join(f"{seconds:.2f} s ({victims})" for seconds, victims in sorted(kills)[:-4:-1])
        print(f"D1: ready again after {ready[KILLS // 2]:.2f} s (median), at most {slowest}")
        _check_log(heli, ledger, chance)
        assert client.sent_again >= 1, "no kill met a batch"
        # On a busy machine at least about as soon as a first start.
        assert ready[KILLS // 2] <= max(READY_WITHIN_S, 1.5 * first_start_s)
        assert ready[-1] <= max(READY_WITHIN_S, 2.5 * first_start_s)


def _kill_one(heli: HeliUnderTest, chance: random.Random) -> tuple[float, str]:
    """Kill one or both at a random moment, start them again; `(seconds until ready, who it was and when)`."""
    time.sleep(chance.uniform(0.2, 1.0))
    victims = chance.choice([("backend",), ("store",), ("store", "backend")])
    for part in victims:
        heli.kill(part)
    started = time.monotonic()
    for part in victims:
        heli.start(part)
    for part in ("store", "backend"):
        heli.wait_ready(part)
    return time.monotonic() - started, f"{' and '.join(victims)}, at {time.strftime('%H:%M:%S')}"


def _check_log(heli: HeliUnderTest, ledger: Ledger, chance: random.Random) -> None:
    book = ledger.read()
    with ReadBack(heli.url("backend")) as log:
        rows = [row["id"] for row in log.requests()]
        sampled = set(chance.sample(rows, min(SAMPLE, len(rows))))
        found = [(row, log.body_sha256(row) if row in sampled else "") for row in rows]
        count, cost = log.totals()
    verdict = check(book, found)
    print(f"D1: {len(book.acknowledged)} acknowledged, {len(rows)} in the log: {verdict}")
    assert verdict.is_clean, str(verdict)
    assert count == len(rows)
    assert cost == book.cost_of(rows)

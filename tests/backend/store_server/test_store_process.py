"""The store process as the supervisor sees it: starting, being in the way, being killed, ending."""

import contextlib
import os
import signal
import threading
import time
import uuid
from decimal import Decimal
from pathlib import Path

import pytest

from heli.schema.errors import ExitCode, HeliError
from heli.schema.exchange import Outcome
from tests.backend.stores.running_store import RunningStore, a_request, a_row, some_rows

TABLE = "request_response_rmt"


@pytest.fixture
def own(tmp_path: Path) -> RunningStore:
    """A store that is not shared, not started."""
    return RunningStore(tmp_path / "a home, with spaces & more")


def outcome_of(store: RunningStore) -> tuple[int, str]:
    process = store.launch()
    return process.wait(60), process.communicate()[1]


def test_a_second_store_on_the_folder_is_a_conflict(store: RunningStore) -> None:
    second = RunningStore(store.home)

    code, told = outcome_of(second)

    assert code == ExitCode.CONFLICT
    assert "is in use by another store" in told
    assert "Traceback" not in told
    assert store.call("GET", "/ping")[0] == 200


def test_a_port_that_is_taken_is_a_conflict(store: RunningStore, own: RunningStore) -> None:
    own.port = store.port

    code, told = outcome_of(own)

    assert code == ExitCode.CONFLICT
    assert f"port {store.port} on 127.0.0.1 is in use" in told


def test_a_folder_that_does_not_open_is_told_and_left_as_it_was(own: RunningStore) -> None:
    folder = own.loaded.paths.request_log
    folder.mkdir(parents=True)
    (folder / "metadata").write_text("not a folder")

    code, told = outcome_of(own)

    assert code == ExitCode.FAILURE
    assert "does not open" in told
    assert "Traceback" not in told
    assert (folder / "metadata").read_text() == "not a folder"


def test_a_folder_that_the_engine_would_misread_is_refused(tmp_path: Path) -> None:
    code, told = outcome_of(RunningStore(tmp_path / "what?"))

    assert code == ExitCode.FAILURE
    assert "question mark" in told
    assert not list(tmp_path.glob("what?/data/store/metadata"))


def test_it_lets_calls_end_before_it_ends(own: RunningStore) -> None:
    own.start()
    answers: list[int] = []
    slow = threading.Thread(
        target=lambda: answers.append(own.call("POST", "/", b"SELECT sleep(2)", own.identity())[0])
    )
    slow.start()
    time.sleep(0.5)

    code = own.stop()

    slow.join()
    assert (code, answers) == (ExitCode.OK, [200])


def test_it_ends_on_interrupt_too_and_what_it_had_is_there_again(own: RunningStore) -> None:
    own.start()
    log = own.log()
    log.migrate()
    log.insert(some_rows(10, uuid.uuid4()), "one")
    assert own._end(signal.SIGINT) == ExitCode.OK

    seconds = own.start()

    assert log.select(f"SELECT count() AS n FROM {TABLE}") == [{"n": 10}]
    assert seconds < 10
    log.close()
    own.stop()


def test_its_folder_and_password_are_private(store: RunningStore) -> None:
    assert store.loaded.paths.request_log.stat().st_mode & 0o777 == 0o700
    assert store.loaded.paths.store_password.stat().st_mode & 0o777 == 0o600


def test_killed_during_inserts_it_loses_nothing_doubles_nothing_and_is_back_at_once(
    own: RunningStore,
) -> None:
    own.start()
    log = own.log()
    log.migrate()
    organisation = uuid.uuid4()
    acknowledged: dict[uuid.UUID, Decimal] = {}
    sent: set[uuid.UUID] = set()
    back_after: list[float] = []

    for round_number in range(4):
        stop = threading.Event()

        def insert_until_it_dies(round_number: int = round_number, stop: threading.Event = stop) -> None:
            batch = 0
            while not stop.is_set():
                batch += 1
                rows = [
                    a_row(a_request(organisation_id=organisation, cost_usd=Decimal(batch) / 1_000_003))
                    for _ in range(50)
                ]
                sent.update(row.request.id for row in rows)
                for _attempt in range(100):
                    try:
                        log.insert(rows, f"{round_number}/{batch}")
                    except HeliError:
                        if stop.wait(0.05):
                            return
                    else:
                        acknowledged.update(
                            {row.request.id: row.request.cost_usd or Decimal(0) for row in rows}
                        )
                        break

        writer = threading.Thread(target=insert_until_it_dies)
        writer.start()
        goal = len(acknowledged) + 200
        while len(acknowledged) < goal:
            time.sleep(0.005)
        own.kill()
        back_after.append(own.start())
        goal = len(acknowledged) + 100
        while len(acknowledged) < goal:
            time.sleep(0.005)
        stop.set()
        writer.join()

    rows = log.select(f"SELECT request_id, cost_usd FROM {TABLE}")
    stored = {row["request_id"]: row["cost_usd"] for row in rows}
    (raw,) = log.select(f"SELECT count() AS n FROM {TABLE} SETTINGS final = 0")
    (total,) = log.select(
        f"SELECT count() AS n, sum(cost_usd) AS usd FROM {TABLE} WHERE request_id IN {{ids:Array(UUID)}}",
        {"ids": list(acknowledged)},
    )
    assert len(acknowledged) >= 1200
    assert acknowledged.keys() <= stored.keys() <= sent
    assert len(rows) == len(stored) == raw["n"]
    money = {id: round(cost, 18) for id, cost in acknowledged.items()}
    assert {id: stored[id] for id in money} == money
    assert total == {"n": len(money), "usd": sum(money.values())}
    assert max(back_after) <= 3 * load_factor()
    log.close()
    own.stop()


def load_factor() -> float:
    """Slow machines get more time: three seconds are meant for an idle one."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def test_an_interrupted_migration_is_finished_by_the_next_start(own: RunningStore) -> None:
    own.start()
    log = own.log()

    def migrate() -> None:
        with contextlib.suppress(HeliError):
            log.migrate()

    migrating = threading.Thread(target=migrate)
    migrating.start()
    own.kill()
    migrating.join()
    own.start()

    log.migrate()
    log.insert([a_row(a_request(outcome=Outcome.COMPLETE))], "one")

    assert log.select(f"SELECT count() AS n FROM {TABLE}") == [{"n": 1}]
    log.close()
    own.stop()

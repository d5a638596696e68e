"""A store that does not open: it is told, calls go on, and wait until it is mended."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from heli.schema.errors import ExitCode
from tests.bad_input.own_heli import OwnHeli, make_heli
from tests.rel.heli_under_test import wait_until
from tests.standin import StandIn


@pytest.fixture
def upped(tmp_path: Path, _standin_process: StandIn) -> Iterator[OwnHeli]:
    """A heli to be started with `heli up -d`."""
    heli = make_heli(tmp_path / "home", upstream=_standin_process.url)
    yield heli
    heli.command("down", "--now")


def state_of(heli: OwnHeli, name: str) -> str:
    return next(str(process["state"]) for process in heli.status()["processes"] if process["name"] == name)


def test_up_tells_and_calls_wait_until_the_store_is_mended(upped: OwnHeli) -> None:
    store = upped.home / "data/store"
    store.mkdir(parents=True)
    (store / "metadata").write_text("not a folder")

    told = upped.command("up", "-d")
    told.refuses(ExitCode.FAILURE, "store does not start", str(store), "move the folder away", "heli status")
    for number in range(5):
        upped.call(f"call-{number}")
    status = upped.command("status")
    assert status.code == ExitCode.OK
    assert f"store: the request log in {store} does not open" in status.err
    upped.command("logs").refuses(ExitCode.UNREACHABLE, "request log", str(upped.ports["store"]))

    shutil.rmtree(store)
    wait_until(lambda: state_of(upped, "store") == "ready", 40, "the store to be ready")
    assert len(upped.logged(5)) == 5
    assert state_of(upped, "gateway") == "ready"


def test_a_file_in_the_place_of_the_store(idle: OwnHeli) -> None:
    store = idle.home / "data/store"
    store.parent.mkdir(parents=True)
    store.write_text("precious")
    idle.command("serve", "store").refuses(ExitCode.FAILURE, str(store), "a file is where a folder should be")
    assert store.read_text() == "precious"


def of_a_newer_heli(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('ffff')")
    database.close()


def garbage(file: Path) -> None:
    file.write_bytes(b"\x07" * 5_000)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(of_a_newer_heli, ["newer heli", "upgrade heli"]), (garbage, ["not a database", "bring back a copy"])],
)
def test_a_database_that_cannot_be_used_is_told_by_status(
    tmp_path: Path, running: OwnHeli, spoil: object, told: list[str]
) -> None:
    password = (running.home / "state/store-password").read_text().strip()
    url = f"http://heli:{password}@127.0.0.1:{running.ports['store']}/heli"
    heli = make_heli(tmp_path / "home", HELI_STORE__URL=url)
    file = heli.home / "data/heli.sqlite"
    file.parent.mkdir(parents=True)
    assert callable(spoil)
    spoil(file)
    heli.start("backend")
    try:
        wait_until(lambda: told[0] in heli.command("status").err, 30, "status to tell")
        said = heli.command("status").err
        assert [word for word in (*told, str(file)) if word not in said] == []
        assert "Traceback" not in heli.log("backend")
    finally:
        heli.stop()

from pathlib import Path

import pytest
from spool_helpers import FailingFileSystem

from heli.proxy.spool.ledger import LEDGER_NAME, Ledger, LedgerState, Position, read_ledger


def test_a_new_folder_has_an_empty_ledger(tmp_path: Path) -> None:
    assert read_ledger(tmp_path) == LedgerState()


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.advance(Position(1, 64), exchanges=10)
    ledger.advance(Position(3, 999), exchanges=5, lost_frames=2, lost_bytes=70)
    ledger.plan(Position(4, 100))
    state = read_ledger(tmp_path)
    assert state == Ledger(tmp_path).state == ledger.state
    assert (state.acknowledged, state.planned, state.exchanges) == (Position(3, 999), Position(4, 100), 15)
    assert (state.lost_frames, state.lost_bytes) == (2, 70)


@pytest.mark.parametrize("at", [0, 4, 8, 12, 4096 + 8])
def test_a_torn_slot_costs_the_newest_state_only(tmp_path: Path, at: int) -> None:
    ledger = Ledger(tmp_path)
    states = []
    for number in range(1, 4):
        ledger.advance(Position(number, 0))
        states.append(ledger.state)
    file = tmp_path / LEDGER_NAME
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)
    assert read_ledger(tmp_path) in states[-2:]


def test_without_a_whole_slot_everything_is_sent_again(tmp_path: Path) -> None:
    Ledger(tmp_path).advance(Position(5, 5))
    (tmp_path / LEDGER_NAME).write_bytes(b"\xff" * 8192)
    assert read_ledger(tmp_path) == LedgerState()


@pytest.mark.parametrize("call", ["open", "write", "fdatasync"])
def test_a_failing_disk_leaves_the_state_as_it_was(tmp_path: Path, call: str) -> None:
    disk = FailingFileSystem()
    ledger = Ledger(tmp_path, disk)
    ledger.advance(Position(1, 0))
    before = ledger.state
    disk.fails = lambda asked, _nth: asked == call
    with pytest.raises(OSError, match="injected"):
        ledger.advance(Position(2, 0))
    assert ledger.state == before

"""The small parts of the spool, each alone."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from spool_helpers import (
    FailingFileSystem,
    a_closed,
    a_grown,
    a_whole,
    an_exchange,
    an_opened,
    scan,
    spool_settings,
)

from heli.proxy.spool import crash_points
from heli.proxy.spool.assembly import Assembly
from heli.proxy.spool.backlog import Backlog
from heli.proxy.spool.batches import Batch
from heli.proxy.spool.file_system import REAL
from heli.proxy.spool.group_writer import GroupWriter
from heli.proxy.spool.segments import list_segments
from heli.proxy.spool.sending import Verdict, read_answer
from heli.proxy.spool.sequences import Sequences
from heli.proxy.spool.writer import Spool
from heli.schema.exchange import (
    MAX_CHUNK_TIMES,
    Direction,
    Exchange,
    Grown,
    Reach,
    decode_exchanges,
    encode_exchanges,
)


def test_no_crash_point_is_armed_when_the_variable_is_unset() -> None:
    assert crash_points._arm({}) == ("", crash_points._nothing)
    assert crash_points._arm({"HELI_CRASH_POINT": "no such point"}) == ("", crash_points._nothing)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, b'{"stored": 1, "duplicates": 0, "rejected": []}', Verdict.STORED),
        (202, b'{"stored": 0, "duplicates": 1, "rejected": []}', Verdict.STORED),
        (200, b"<html>welcome</html>", Verdict.OPERATOR),
        (200, b'{"ok": true}', Verdict.OPERATOR),
        (400, b"", Verdict.BAD_BATCH),
        (413, b"too long", Verdict.BAD_BATCH),
        (422, b"", Verdict.BAD_BATCH),
        (401, b"", Verdict.OPERATOR),
        (403, b"", Verdict.OPERATOR),
        (404, b"", Verdict.OPERATOR),
        (301, b"", Verdict.OPERATOR),
        (429, b"", Verdict.LATER),
        (500, b"", Verdict.LATER),
        (503, b"", Verdict.LATER),
        (507, b"", Verdict.LATER),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, verdict: Verdict) -> None:
    answer = read_answer(status, body)
    assert answer.verdict is verdict
    assert (answer.reason == "") == (verdict is Verdict.STORED)


def test_sequences_know_what_came_twice_and_what_is_missing() -> None:
    sequences = Sequences()
    assert [sequences.add(number) for number in (5, 6, 6, 9, 7, 7, 8, 10)] == [
        True,
        True,
        False,
        True,
        True,
        False,
        True,
        True,
    ]
    assert sequences.lost == 0
    sequences.add(20)
    assert (sequences.lost, sequences.first_gap(6, 20, only_losses=True)) == (9, 11)


def test_what_was_deleted_between_old_records_is_no_loss() -> None:
    sequences = Sequences()
    for number in (3, 8):
        sequences.add(number, is_new=False)
    sequences.add(12)
    assert sequences.lost == 0
    assert sequences.first_gap(3, 12, only_losses=True) is None
    assert sequences.first_gap(3, 12, only_losses=False) == 4


def _decoded(encoded: msgspec.Raw) -> Exchange:
    return msgspec.msgpack.decode(encoded, type=Exchange)


def test_chunk_times_are_bounded_and_add_up() -> None:
    assembly = Assembly(an_exchange(1, response_body=b"", response_chunks=[]))
    for number in range(MAX_CHUNK_TIMES + 500):
        piece = Grown(id=b"", direction=Direction.RESPONSE, data=b"ab", chunks=[(number, 2)])
        assembly.grow(piece)
    call = _decoded(assembly.interrupt("gone", has_hole=False))
    assert len(call.response_chunks) == MAX_CHUNK_TIMES
    assert (
        sum(size for _, size in call.response_chunks) == call.response_body_bytes == len(call.response_body)
    )


@pytest.mark.parametrize("known", [Reach.SENT, None])
def test_an_interrupted_call_got_as_far_as_anybody_saw(known: Reach | None) -> None:
    opened = an_exchange(1, response_status=None, reach=known)
    unanswered, answered = Assembly(opened), Assembly(opened)
    answered.grow(Grown(id=b"", direction=Direction.RESPONSE, data=b"", chunks=[], response_status=200))

    assert _decoded(unanswered.interrupt("gone", has_hole=False)).reach is known
    assert _decoded(answered.interrupt("gone", has_hole=False)).reach is Reach.ANSWERED


def test_a_batch_is_named_by_what_it_holds(tmp_path: Path) -> None:
    batch = gather(tmp_path, [a_whole(number) for number in range(10)])
    first, second = batch.halves()
    assert first.exchanges + second.exchanges == batch.exchanges
    assert len({batch.token, first.token, second.token, Batch(first.exchanges).token}) == 3


def test_a_batch_is_bounded_in_bytes_and_a_bigger_exchange_is_alone(tmp_path: Path) -> None:
    mebi = 1024 * 1024
    records = [a_whole(number, response_body=bytes(3 * mebi)) for number in range(3)]
    records.insert(1, a_whole(9, response_body=bytes(20 * mebi)))
    writer = GroupWriter(tmp_path, 16 * mebi, REAL)
    writer.add(records)
    writer.flush()
    writer.close()
    backlog = Backlog(tmp_path)
    sizes = []
    while (batch := backlog.gather()) is not None:
        sizes.append([len(each.encoded) // mebi for each in batch.exchanges])
        backlog.plan(batch)
        backlog.acknowledge(batch)
    backlog.close()
    assert sizes == [[3], [20], [3, 3]]


def test_a_segment_that_cannot_be_copied_stays_as_it_is(tmp_path: Path) -> None:
    disk = FailingFileSystem()
    spool = Spool.open(tmp_path / "gateway-0", spool_settings(segment_bytes=100_000))
    backlog = Backlog(spool.folder, disk)
    spool.append(an_opened(0))
    for number in range(1, 60):
        spool.append(a_grown(0))
        spool.append(a_whole(number, response_body=os.urandom(10_000)))
    assert spool.wait_until_synced(10)
    before = [segment.file.stat().st_size for segment in list_segments(spool.folder)]
    batch = backlog.gather()
    assert batch is not None
    backlog.plan(batch)
    disk.fails = lambda call, nth: call == "write" and nth >= 2  # The ledger is written twice before.
    backlog.acknowledge(batch)

    after = [segment.file.stat().st_size for segment in list_segments(spool.folder)]
    assert after == before
    assert list(spool.folder.glob("*.draft")) == []
    backlog.close()
    spool.close()


def test_a_compacted_segment_holds_the_pieces_of_calls_in_flight_only(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "gateway-0", spool_settings(segment_bytes=100_000))
    backlog = Backlog(spool.folder)
    spool.append(an_opened(0))
    for number in range(1, 60):
        spool.append(a_grown(0, b"%d" % number))
        spool.append(a_whole(number, response_body=os.urandom(10_000)))
    assert spool.wait_until_synced(10)
    first = list_segments(spool.folder)[0].file
    batch = backlog.gather()
    assert batch is not None
    backlog.plan(batch)
    backlog.acknowledge(batch)

    assert first.stat().st_size < 5000
    kept = [each.payload for each in scan(spool.folder) if each.offset < 5000][:3]
    assert kept == [an_opened(0), a_grown(0, b"1"), a_grown(0, b"2")]
    body = b"".join(b"%d" % number for number in range(1, 60))
    spool.append(a_closed(0, request_body_bytes=10, response_body_bytes=len(body)))
    assert spool.wait_until_synced(10)
    batch = backlog.gather()
    assert batch is not None
    [call] = decode_exchanges(encode_exchanges([each.encoded for each in batch.exchanges]))
    assert (call.response_body, call.bodies_dropped) == (body, False)
    backlog.close()
    spool.close()


def test_a_call_that_is_told_but_not_acknowledged_keeps_its_pieces(tmp_path: Path) -> None:
    writer = GroupWriter(tmp_path, 1000, REAL)
    writer.add([an_opened(0), *[a_whole(number) for number in range(1, 12)]])
    writer.add([a_closed(0, request_body_bytes=10, response_body_bytes=0)])
    writer.flush()
    writer.close()
    backlog = Backlog(tmp_path)
    batch = backlog.gather()
    assert batch is not None
    first, second = batch.halves()
    backlog.plan(first)
    backlog.acknowledge(first)
    backlog.close()

    backlog = Backlog(tmp_path)
    again = backlog.gather()
    assert again is not None
    assert [(each.id, bytes(each.encoded)) for each in again.exchanges] == [
        (each.id, bytes(each.encoded)) for each in second.exchanges
    ]
    backlog.plan(again)
    backlog.acknowledge(again)
    backlog.close()
    assert list_segments(tmp_path) == []


def test_a_damaged_piece_never_gets_the_frame_of_another_call(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "gateway-0", spool_settings(segment_bytes=200_000))
    backlog = Backlog(spool.folder)
    for record in (an_opened(1), an_opened(2), a_grown(1, b"reply one"), a_grown(2, b"reply two")):
        spool.append(record)
    for number in range(3, 9):
        spool.append(an_opened(number))
        spool.append(a_whole(10 + number, response_body=os.urandom(150_000)))
    assert spool.wait_until_synced(10)
    batch = backlog.gather()
    assert batch is not None
    first = list_segments(spool.folder)[0].file
    content, size = first.read_bytes(), first.stat().st_size
    with first.open("r+b") as file:
        file.seek(content.index(b"reply one"))
        file.write(b"R")
    backlog.plan(batch)
    backlog.acknowledge(batch)
    assert first.stat().st_size < size

    for number in (1, 2):
        spool.append(a_closed(number, request_body_bytes=10, response_body_bytes=9))
    assert spool.wait_until_synced(10)
    batch = backlog.gather()
    assert batch is not None
    one, two = decode_exchanges(encode_exchanges([each.encoded for each in batch.exchanges]))
    assert (one.response_body, one.bodies_dropped) == (b"", True)
    assert (two.response_body, two.bodies_dropped) == (b"reply two", False)
    backlog.close()
    spool.close()


def test_a_frame_that_took_the_place_of_a_piece_is_no_piece(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, spool_settings())
    backlog = Backlog(tmp_path)
    for record in (an_opened(1), an_opened(2), a_grown(1, b"one"), a_grown(2, b"two"), a_whole(3)):
        spool.append(record)
    assert spool.wait_until_synced(10)
    assert backlog.gather() is not None
    places = {each.offset: each.offset for each in scan(tmp_path)}
    third, fourth = list(places)[2:4]
    backlog._calls.move(1, places | {third: fourth})

    spool.append(a_closed(1, request_body_bytes=10, response_body_bytes=3))
    assert spool.wait_until_synced(10)
    batch = backlog.gather()
    assert batch is not None
    [call] = decode_exchanges(encode_exchanges([each.encoded for each in batch.exchanges]))
    assert (call.response_body, call.bodies_dropped) == (b"", True)
    backlog.close()
    spool.close()


NEWER = {
    "opened": (an_opened(1).replace(b"interrupted", b"new_outcome"), (b"", True)),
    "grown": (a_grown(1, b"more").replace(b"\x01\xc4\x04more", b"\x09\xc4\x04more"), (b"", True)),
    "closed": (a_closed(1).replace(b"complete", b"new_word"), (b"more", True)),
}


@pytest.mark.parametrize("newer", NEWER)
def test_a_record_of_a_newer_release_does_not_stop_the_others(tmp_path: Path, newer: str) -> None:
    known = {
        "opened": an_opened(1),
        "grown": a_grown(1, b"more"),
        "closed": a_closed(1, request_body_bytes=10, response_body_bytes=4),
    }
    record, expected = NEWER[newer]
    writer = GroupWriter(tmp_path, 1_000_000, REAL)
    nothing_inside = b"\x92\x04\xc0"
    writer.add([*(known | {newer: record}).values(), nothing_inside, a_whole(2)])
    writer.flush()
    writer.close()
    backlog = Backlog(tmp_path)
    batch = backlog.gather()
    assert batch is not None
    one, two = decode_exchanges(encode_exchanges([each.encoded for each in batch.exchanges]))
    assert (one.response_body, one.bodies_dropped) == expected
    assert two == an_exchange(2)
    backlog.plan(batch)
    backlog.acknowledge(batch)
    assert backlog.ledger.state.lost_frames == 2
    backlog.close()


def gather(folder: Path, records: list[bytes]) -> Batch:
    writer = GroupWriter(folder, 1_000_000, REAL)
    writer.add(records)
    writer.flush()
    writer.close()
    backlog = Backlog(folder)
    batch = backlog.gather()
    backlog.close()
    assert batch is not None
    return batch


@pytest.mark.slow
def test_a_backend_that_never_answers_does_not_keep_the_shipper_from_ending(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HELI_")}
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = clean | {"HELI_HOME": str(tmp_path), "HELI_BACKEND__URL": url}
        spool = Spool.open(tmp_path / "data" / "spool" / "gateway-0", spool_settings())
        spool.append(a_whole())
        spool.close()
        command = [sys.executable, "-m", "heli.proxy.spool.shipper"]
        shipper = subprocess.Popen(command, env=environment)
        connection, _ = silent.accept()
        connection.recv(1)
        shipper.send_signal(signal.SIGTERM)
        assert shipper.wait(20) == 0
        connection.close()

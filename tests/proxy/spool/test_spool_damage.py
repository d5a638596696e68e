"""Segments cut, flipped, zeroed, shuffled: every frame that is whole is found, and what is not is counted."""

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spool_helpers import a_closed, a_grown, a_whole, an_id, an_opened, scan

from heli.proxy.spool.backlog import Backlog
from heli.proxy.spool.file_system import REAL
from heli.proxy.spool.frames import FRAME_OVERHEAD, Damage, Frame, FrameHeaders
from heli.proxy.spool.group_writer import GroupWriter
from heli.proxy.spool.segments import HEADER_BYTES, list_segments
from heli.schema.exchange import decode_exchanges, encode_exchanges

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
MUTATIONS = 2000 if os.environ.get("HELI_REL_FULL") == "1" else 200
KINDS = st.sampled_from(["truncate", "flip", "zero", "swap", "length", "insert", "delete", "double"])


def mutate(content: bytearray, kind: str, chance: random.Random) -> bytearray:
    at = chance.randrange(len(content))
    end = min(len(content), at + chance.choice([1, 5, 300, 4096]))
    if kind == "truncate":
        del content[at:]
    elif kind == "flip":
        content[at] ^= 1 << chance.randrange(8)
    elif kind == "zero":
        content[at:end] = bytes(end - at)
    elif kind == "swap":
        other = chance.randrange(len(content))
        first, second = sorted((at, other))
        content[:] = content[second:] + content[first:second] + content[:first]
    elif kind == "length" and at + 8 <= len(content):
        content[at + 4 : at + 8] = chance.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x07", b"\0\0\0\0"])
    elif kind == "insert":
        content[at:at] = chance.randbytes(end - at)
    elif kind == "delete":
        del content[at:end]
    elif kind == "double":
        content[at:at] = content[at:end]
    return content


@settings(max_examples=MUTATIONS, deadline=None, print_blob=True)
@given(seed=st.integers(0, 2**32), kinds=st.lists(KINDS, min_size=1, max_size=4))
@example(seed=244, kinds=["truncate", "flip", "truncate"])
def test_every_frame_that_is_whole_is_recovered(seed: int, kinds: list[str]) -> None:
    chance = random.Random(seed)
    root = Path(tempfile.mkdtemp(prefix="heli-damage-"))
    try:
        folder, frames = a_folder(root, chance)
        segments = list_segments(folder)
        for kind in kinds:
            file = chance.choice(segments).file
            content = bytearray(file.read_bytes())
            if content:
                file.write_bytes(mutate(content, kind, chance))
        check_scan(folder, frames)
        check_backlog(folder, frames)
    finally:
        shutil.rmtree(root)


def a_folder(root: Path, chance: random.Random) -> tuple[Path, dict[bytes, tuple[int, bytes]]]:
    """Two segments of whole calls, and `{bytes of a frame: (number of the call, its salt)}`."""
    folder = root / "gateway-0"
    folder.mkdir()
    writer = GroupWriter(folder, 6000, REAL)
    for number in range(1, 13):
        writer.add([a_whole(number, response_body=chance.randbytes(chance.choice([0, 50, 1500])))])
    writer.flush()
    writer.close()
    frames = {}
    for segment in list_segments(folder):
        whole = segment.file.read_bytes()
        for found in scan_one(folder, segment.file):
            frames[whole[found.offset : found.end]] = (found.sequence, segment.salt)
    assert len(frames) == 12
    return folder, frames


def scan_one(folder: Path, file: Path) -> list[Frame]:
    contents = file.read_bytes()
    return [
        found
        for found in scan(folder)
        if isinstance(found, Frame) and contents[found.offset : found.end].endswith(found.payload)
    ]


def intact(folder: Path, frames: dict[bytes, tuple[int, bytes]]) -> list[int]:
    """The calls whose frames lie whole in a segment of theirs, which a plain search shows."""
    contents = [(segment.salt, segment.file.read_bytes()) for segment in list_segments(folder)]
    return sorted(
        number
        for frame, (number, salt) in frames.items()
        for own, content in contents
        if own == salt
        for _ in range(content.count(frame))
    )


def check_scan(folder: Path, frames: dict[bytes, tuple[int, bytes]]) -> None:
    found = list(scan(folder))
    assert sorted(each.sequence for each in found if isinstance(each, Frame)) == intact(folder, frames)
    told = sum(FRAME_OVERHEAD + len(each.payload) for each in found if isinstance(each, Frame))
    told += sum(each.lost_bytes for each in found if isinstance(each, Damage))
    sizes = [segment.file.stat().st_size for segment in list_segments(folder)]
    assert sum(sizes) - HEADER_BYTES * len(sizes) <= told <= sum(sizes)


def check_backlog(folder: Path, frames: dict[bytes, tuple[int, bytes]]) -> None:
    expected = set(intact(folder, frames))
    backlog = Backlog(folder)
    shipped: list[int] = []
    while (batch := backlog.gather()) is not None:
        exchanges = decode_exchanges(encode_exchanges([each.encoded for each in batch.exchanges]))
        shipped += [int.from_bytes(each.id) for each in exchanges]
        backlog.plan(batch)
        backlog.acknowledge(batch)
    backlog.close()
    assert sorted(shipped) == sorted(expected)
    assert list_segments(folder) == []
    found_missing = backlog.ledger.state.lost_frames
    assert found_missing <= 12 - len(expected)
    if len(expected) < 12:
        assert found_missing or backlog.ledger.state.lost_bytes or max(expected, default=0) < 12


def test_a_folder_that_lost_its_beginning_tells_how_much(tmp_path: Path) -> None:
    folder, frames = a_folder(tmp_path, random.Random(1))
    first, *_ = list_segments(folder)
    begun = sum(salt == first.salt for _, salt in frames.values())
    os.truncate(first.file, 0)
    backlog = Backlog(folder)

    while (batch := backlog.gather()) is not None:
        backlog.plan(batch)
        backlog.acknowledge(batch)
    backlog.close()

    assert backlog.ledger.state.lost_frames == begun > 0


def test_captured_content_cannot_pass_for_a_frame(tmp_path: Path) -> None:
    decoy = FrameHeaders(b"12345678").make(7, b"forged") + b"forged"
    writer = GroupWriter(tmp_path, 100_000, REAL)
    writer.add([a_whole(1), a_whole(2, response_body=decoy * 50), a_whole(3)])
    writer.flush()
    writer.close()
    [segment] = list_segments(tmp_path)
    content = bytearray(segment.file.read_bytes())
    _, second, _ = list(scan(tmp_path))
    content[second.offset] ^= 1
    segment.file.write_bytes(content)

    first, damage, third = scan(tmp_path)
    assert [first.sequence, third.sequence] == [1, 3]
    assert damage == Damage(second.offset, second.end - second.offset)


@pytest.mark.parametrize("lost", ["grown", "opened"])
def test_a_body_with_a_lost_piece_ends_before_the_hole(tmp_path: Path, lost: str) -> None:
    writer = GroupWriter(tmp_path, 100_000, REAL)
    writer.add([an_opened(1), a_grown(1, b"one,"), a_grown(1, b"two,"), a_whole(2), a_grown(1, b"three")])
    writer.add([a_closed(1, request_body_bytes=10, response_body_bytes=13)])
    writer.flush()
    writer.close()
    damage(tmp_path, {"opened": 1, "grown": 3}[lost])

    batch = Backlog(tmp_path).gather()

    assert batch is not None
    _, call = decode_exchanges(encode_exchanges([each.encoded for each in batch.exchanges]))
    assert (call.id, call.response_body_bytes, call.bodies_dropped) == (an_id(1), 13, True)
    assert call.response_body == {"grown": b"one,", "opened": b""}[lost]
    assert call.response_status == 200


def test_a_lost_record_of_another_call_costs_this_one_nothing(tmp_path: Path) -> None:
    writer = GroupWriter(tmp_path, 100_000, REAL)
    writer.add([an_opened(1), a_grown(1, b"one,"), a_whole(2), a_grown(1, b"two")])
    writer.add([a_closed(1, request_body_bytes=10, response_body_bytes=7)])
    writer.flush()
    writer.close()
    damage(tmp_path, 3)

    batch = Backlog(tmp_path).gather()

    assert batch is not None
    [call] = decode_exchanges(encode_exchanges([each.encoded for each in batch.exchanges]))
    assert (call.response_body, call.bodies_dropped) == (b"one,two", False)


def damage(folder: Path, sequence: int) -> None:
    [segment] = list_segments(folder)
    content = bytearray(segment.file.read_bytes())
    [frame] = [each for each in scan(folder) if isinstance(each, Frame) and each.sequence == sequence]
    content[frame.end - 1] ^= 1
    segment.file.write_bytes(content)

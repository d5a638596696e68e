"""A segment that is read while it is written: nothing that grows meanwhile passes for damage."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heli.proxy.spool.file_system import REAL
from heli.proxy.spool.frames import Damage, Frame, FrameHeaders
from heli.proxy.spool.reader import FolderReader
from heli.proxy.spool.segments import HEADER_BYTES, make_segment, new_incarnation, open_scanner

SIZES = [3, 444, 5_000, 0, 70, 9_000]
"""Of the payloads."""
PREAD, FSTAT = os.pread, os.fstat


class Grower:
    """Stands in for two functions of `os`: whenever somebody has looked at the file, it grows a little.

    A writer's one write may become visible page by page, at any moment between two calls of a reader.
    """

    def __init__(self, descriptor: int, content: bytes, steps: list[int]) -> None:
        self._descriptor = descriptor
        self._left = content
        self._steps = steps

    @property
    def is_done(self) -> bool:
        return not self._left

    def grow(self) -> None:
        step = self._steps.pop(0) if self._steps else len(self._left)
        os.write(self._descriptor, self._left[:step])
        self._left = self._left[step:]

    def pread(self, descriptor: int, count: int, offset: int) -> bytes:
        read = PREAD(descriptor, count, offset)
        self.grow()
        return read

    def fstat(self, descriptor: int) -> os.stat_result:
        told = FSTAT(descriptor)
        self.grow()
        return told


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(st.integers(0, 9_000), max_size=80),
    rotten=st.sampled_from([None, *(place for place, size in enumerate(SIZES) if size)]),
)
def test_what_grows_between_two_looks_is_no_damage(
    steps: list[int], rotten: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nor is it where a frame before it really is damaged."""
    segment, writing = make_segment(tmp_path_factory.mktemp("spool"), 1, new_incarnation(), REAL)
    headers = FrameHeaders(segment.salt)
    payloads = [os.urandom(size) for size in SIZES]
    whole = [headers.make(number, payload) + payload for number, payload in enumerate(payloads, start=1)]
    if rotten is not None:
        whole[rotten] = whole[rotten][:-1] + bytes([whole[rotten][-1] ^ 1])
        del payloads[rotten]
    content = b"".join(whole)
    reading = os.open(segment.file, os.O_RDONLY)
    scanner = open_scanner(segment, reading)
    grower = Grower(writing, content, steps)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", grower.pread)
        patch.setattr(os, "fstat", grower.fstat)
        while not grower.is_done:
            while (what := scanner.next(is_sealed=False)) is not None:
                found.append(what)
            grower.grow()
    while (what := scanner.next(is_sealed=True)) is not None:
        found.append(what)
    os.close(reading)
    os.close(writing)
    assert sum(isinstance(what, Damage) for what in found) == (rotten is not None)
    assert [what.payload for what in found if isinstance(what, Frame)] == payloads


def test_a_segment_without_its_header_yet_is_left_for_later(tmp_path: Path) -> None:
    segment, writing = make_segment(tmp_path, 1, new_incarnation(), REAL)
    whole = segment.file.read_bytes()
    for begun in (0, 8, HEADER_BYTES - 1):
        segment.file.write_bytes(whole[:begun])
        reader = FolderReader(tmp_path)
        reader.refresh(look_for_writer=False)
        assert reader.next() is None
        segment.file.write_bytes(whole + FrameHeaders(segment.salt).make(1, b"first") + b"first")
        found = reader.next()
        assert found is not None
        assert isinstance(found[1], Frame)
        reader.close()
    os.close(writing)

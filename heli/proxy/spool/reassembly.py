"""From frames to exchanges. Of calls in flight only the places of their pieces are kept in memory."""

from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from heli.proxy.spool.assembly import END_DROPPED, END_UNREADABLE, INTERRUPTED, Assembly, close_alone
from heli.proxy.spool.frames import Frame
from heli.proxy.spool.holes import TOMBSTONE
from heli.proxy.spool.ledger import Position
from heli.proxy.spool.open_call import OpenCall, Place
from heli.proxy.spool.pieces import PieceReader
from heli.proxy.spool.segments import Segment
from heli.proxy.spool.sequences import Sequences
from heli.schema.exchange import Closed, Grown, Opened, Record, decode_record

INTERRUPTED_OFFSET = 2**62
"""Calls that were interrupted end, in the order of positions, behind the last frame of their writer."""
_NOWHERE = 0
"""The offset of a piece that was lost: the header of the segment is there, and no frame."""


class Finished(NamedTuple):
    """An exchange that may be shipped."""

    id: bytes
    encoded: msgspec.Raw
    position: Position
    """Where it ended."""


class _Head(msgspec.Struct, array_like=True, gc=False):
    id: bytes


class _Opened(msgspec.Struct, array_like=True, tag=1, gc=False):
    exchange: _Head


class _Grown(msgspec.Struct, array_like=True, tag=2, gc=False):
    id: bytes


class _Closed(msgspec.Struct, array_like=True, tag=3, gc=False):
    exchange: _Head


class _Whole(msgspec.Struct, array_like=True, tag=4):
    exchange: msgspec.Raw


_glance = msgspec.msgpack.Decoder(_Opened | _Grown | _Closed | _Whole).decode
_read_head = msgspec.msgpack.Decoder(_Head).decode


class Reassembler:
    """The calls in flight of one folder. Feed it every frame once, in order."""

    def __init__(self, pieces: PieceReader, *, is_untouched: bool = False) -> None:
        """`is_untouched` when nothing of the folder was ever acknowledged, and so nothing deleted."""
        self.held: Counter[int] = Counter()
        """How many pieces a segment holds, by its number, of calls whose exchange is not acknowledged."""
        self.unreadable = 0
        """Records without a beginning, or of a kind that this release does not know."""
        self._pieces = pieces
        self._calls: dict[bytes, OpenCall] = {}
        self._told: deque[tuple[Position, OpenCall]] = deque()
        """Calls that have ended, and where, until that place is acknowledged."""
        self._sequences: dict[bytes, Sequences] = {}
        self._begins_whole = is_untouched
        """Nothing of the incarnation that comes next was deleted."""

    @property
    def lost_frames(self) -> int:
        return self.unreadable + sum(sequences.lost for sequences in self._sequences.values())

    def feed(self, segment: Segment, frame: Frame, *, is_wanted: bool) -> Finished | None:
        """The exchange that this frame ends. One that is not wanted was shipped before, and is forgotten."""
        sequences = self._sequences.get(segment.incarnation)
        if sequences is None:
            sequences = Sequences(is_complete=self._begins_whole)
            self._sequences[segment.incarnation] = sequences
            self._begins_whole = True  # only of the first one that is met may a part have been deleted
        if not sequences.add(frame.sequence, is_new=is_wanted):
            return None
        position = Position(segment.number, frame.end)
        if frame.payload.startswith(TOMBSTONE):
            call = self._pop(frame.payload[1:], position)
            return (
                self._interrupt(frame.payload[1:], call, position, END_DROPPED)
                if call and is_wanted
                else None
            )
        try:
            glance = _glance(frame.payload)
        except msgspec.DecodeError:
            self.unreadable += is_wanted
            return None
        if isinstance(glance, _Whole):
            return self._finish_whole(glance.exchange, position) if is_wanted else None
        if isinstance(glance, _Closed):
            id = glance.exchange.id
            call = self._pop(id, position)
            return self._close(id, frame, call, position) if is_wanted else None
        self._add(glance.id if isinstance(glance, _Grown) else glance.exchange.id, segment, frame)
        return None

    def end_incarnation(self, segment: Segment, after: Position) -> Iterator[Finished]:
        """The calls that a writer left open when it ended, which were not shipped yet (`after`)."""
        left = [(call.first_sequence, id, call) for id, call in self._calls.items()]
        for first, id, call in sorted(left, key=lambda each: each[0]):
            if call.incarnation == segment.incarnation:
                position = Position(segment.number, INTERRUPTED_OFFSET + first)
                self._pop(id, position)
                finished = self._interrupt(id, call, position, INTERRUPTED) if position > after else None
                if finished is not None:
                    yield finished
        if sequences := self._sequences.pop(segment.incarnation, None):
            self.unreadable += sequences.lost

    def release(self, acknowledged: Position) -> bool:
        """Need the pieces no more of calls that ended before; whether none are left that ended later."""
        while self._told and self._told[0][0] <= acknowledged:
            _, call = self._told.popleft()
            for _, number, _ in call:
                self.held[number] -= 1
        return not self._told

    def open_sockets(self, now: float, pause_s: float) -> Iterator[msgspec.Raw]:
        """WebSockets in flight as far as they came, of which more was kept in `pause_s` or longer.

        Their pieces stay: what is told here is told again by the end. Go on when one was taken: otherwise it
        comes again.
        """
        for call in self._calls.values():
            if call.is_socket is False or now < call.due:
                continue
            is_first, call.due = not call.due, now + pause_s
            if is_first or not self._has_more(call):
                continue
            assembly = self._so_far(call)
            if assembly is not None and assembly.is_answered:
                call.is_socket = assembly.is_websocket
                if call.is_socket:
                    yield assembly.interrupt("", has_hole=False)
                    call.told = len(call.places)

    def _has_more(self, call: OpenCall) -> bool:
        """Whether bytes were not told of. Beyond what is kept of a body, pieces bring times alone."""
        if not call.told:
            return True
        for place in call.since(call.told):
            record = self._read(place)
            if not isinstance(record, Grown) or record.data or record.response_headers is not None:
                return True
        call.told = len(call.places)
        return False

    def _so_far(self, call: OpenCall) -> Assembly | None:
        """The call as it stands; `None` when a piece is missing."""
        gap = self._gap_in(call, call.last_sequence, only_losses=True)
        assembly, has_hole = self._assemble(call) if gap is None else (None, True)
        return None if has_hole else assembly

    def pieces_in(self, number: int) -> list[int]:
        """The offsets, ascending, of the pieces of calls in flight in a segment."""
        return sorted(offset for call in self._calls.values() for offset in call.offsets_in(number))

    def move(self, number: int, offsets: dict[int, int]) -> None:
        """The segment was replaced by one where the pieces lie elsewhere: `{old offset: new offset}`.

        A piece that has no new offset could not be read any more."""
        for call in self._calls.values():
            places = call.places
            for at in range(0, len(places), 3):
                if places[at + 1] == number:
                    places[at + 2] = offsets.get(places[at + 2], _NOWHERE)

    def _add(self, id: bytes, segment: Segment, frame: Frame) -> None:
        call = self._calls.setdefault(id, OpenCall(segment.incarnation))
        call.add((frame.sequence, segment.number, frame.offset))
        self.held[segment.number] += 1

    def _pop(self, id: bytes, position: Position) -> OpenCall | None:
        """The call is in flight no more. Its pieces are needed until it is acknowledged."""
        call = self._calls.pop(id, None)
        if call is not None:
            self._told.append((position, call))
        return call

    def _finish_whole(self, exchange: msgspec.Raw, position: Position) -> Finished | None:
        try:
            return Finished(_read_head(exchange).id, exchange, position)
        except msgspec.DecodeError:
            self.unreadable += 1
            return None

    def _close(self, id: bytes, frame: Frame, call: OpenCall | None, position: Position) -> Finished | None:
        closed = self._decode(frame)
        if not isinstance(closed, Closed):
            return self._interrupt(id, call, position, END_UNREADABLE) if call else None
        assembly, has_hole = self._assemble(call) if call else (None, True)
        if assembly is None or call is None:
            return Finished(id, close_alone(closed.exchange), position)
        gap = self._gap_in(call, frame.sequence, only_losses=False)
        if gap is not None and not assembly.reaches(closed.exchange):
            assembly, has_hole = self._assemble(call, gap)[0] or assembly, True
        return Finished(id, assembly.close(closed.exchange, has_hole=has_hole), position)

    def _interrupt(self, id: bytes, call: OpenCall, position: Position, error: str) -> Finished | None:
        gap = self._gap_in(call, call.last_sequence, only_losses=True)
        assembly, has_hole = self._assemble(call, gap)
        if assembly is None:
            self.unreadable += 1
            return None
        is_cut = has_hole or gap is not None or error != INTERRUPTED
        return Finished(id, assembly.interrupt(error, has_hole=is_cut), position)

    def _decode(self, frame: Frame) -> Record | None:
        """What a frame says; `None`, and counted, when only another release can tell."""
        try:
            record: Record = decode_record(frame.payload)
        except msgspec.DecodeError:
            self.unreadable += 1
            return None
        return record

    def _gap_in(self, call: OpenCall, end: int, *, only_losses: bool) -> int | None:
        """A missing record that may have been a piece of this call."""
        sequences = self._sequences[call.incarnation]
        return sequences.first_gap(call.first_sequence, end, only_losses=only_losses)

    def _assemble(self, call: OpenCall, until: int | None = None) -> tuple[Assembly | None, bool]:
        """What the pieces before `until` say, and whether one of them could not be read any more.

        `None` when the first one, with the head of the request, is missing.
        """
        assembly: Assembly | None = None
        for place in call.in_order():
            if until is not None and place[0] > until:
                break
            record = self._read(place)
            if assembly is None and isinstance(record, Opened):
                assembly = Assembly(record.exchange)
            elif assembly is None or record is None:
                return assembly, True
            elif isinstance(record, Grown):
                assembly.grow(record)
        return assembly, assembly is None

    def _read(self, place: Place) -> Record | None:
        """The piece that lies there; `None` when it cannot be read any more."""
        sequence, number, offset = place
        frame = self._pieces.read(number, offset)
        return self._decode(frame) if frame is not None and frame.sequence == sequence else None

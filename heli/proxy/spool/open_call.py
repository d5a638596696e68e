"""Where the pieces of a call in flight lie in its folder: all that is kept of it in memory."""

from array import array
from collections.abc import Iterator

type Place = tuple[int, int, int]
"""Sequence, segment and offset of a piece."""


class OpenCall:
    """Where the pieces of a call in flight lie."""

    __slots__ = ("_is_in_order", "due", "incarnation", "is_socket", "places", "told")

    def __init__(self, incarnation: bytes) -> None:
        self.incarnation = incarnation
        self.is_socket: bool | None = None
        """Whether it was upgraded; `None` until its reply has begun."""
        self.due = 0.0
        """When to tell of it while it goes on, by the caller's clock; 0 when nobody asked yet."""
        self.told = 0
        """How many `places` there were when that was done last."""
        self.places = array("Q")
        """`sequence, segment, offset` of each piece, in a row."""
        self._is_in_order = True

    def add(self, place: Place) -> None:
        self._is_in_order &= not self.places or place[0] > self.places[-3]
        self.places.extend(place)

    def __iter__(self) -> Iterator[Place]:
        return self.since(0)

    def since(self, start: int) -> Iterator[Place]:
        """Those that came when there were `start` places."""
        places = self.places
        return ((places[at], places[at + 1], places[at + 2]) for at in range(start, len(places), 3))

    def offsets_in(self, segment: int) -> list[int]:
        """Of the pieces that lie in one segment."""
        places = self.places
        return [
            offset for number, offset in zip(places[1::3], places[2::3], strict=True) if number == segment
        ]

    def in_order(self) -> Iterator[Place]:
        """By sequence. What was written twice may have come out of order."""
        return iter(self) if self._is_in_order else iter(sorted(self))

    @property
    def first_sequence(self) -> int:
        return min(self.places[::3])

    @property
    def last_sequence(self) -> int:
        return max(self.places[::3])

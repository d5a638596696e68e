"""Which of a writer's records were seen: tells records that were written twice, and how many are missing."""

from typing import NamedTuple


class Gap(NamedTuple):
    """Numbers that were not seen."""

    first: int
    end: int
    """Behind the last."""
    is_loss: bool
    """Otherwise they may have been shipped and deleted before."""


class Sequences:
    """The numbers of one incarnation, from 1, nearly always in order."""

    def __init__(self, *, is_complete: bool = False) -> None:
        """`is_complete` when nothing of it can have been deleted before the first that is seen."""
        self.lost = 0
        """How many numbers are missing for no good reason."""
        self._next = 1
        self._gaps: list[Gap] = []
        self._is_complete = is_complete
        """Whether nothing is deleted any more between the newest number and the one that comes next."""

    def add(self, sequence: int, *, is_new: bool = True) -> bool:
        """Whether it was not seen before. Between records that are not new there may be deleted ones."""
        if sequence < self._next:
            return self._fill(sequence)
        if sequence > self._next:
            gap = Gap(self._next, sequence, is_new and self._is_complete)
            self._gaps.append(gap)
            self.lost += (gap.end - gap.first) * gap.is_loss
        self._next = sequence + 1
        self._is_complete = is_new
        return True

    def first_gap(self, start: int, end: int, *, only_losses: bool) -> int | None:
        """The first missing number between two that were seen."""
        for gap in self._gaps:
            if start < gap.first < end and (gap.is_loss or not only_losses):
                return gap.first
        return None

    def _fill(self, sequence: int) -> bool:
        for place, gap in enumerate(self._gaps):
            if gap.first <= sequence < gap.end:
                parts = [gap._replace(end=sequence), gap._replace(first=sequence + 1)]
                self._gaps[place : place + 1] = [part for part in parts if part.first < part.end]
                self.lost -= gap.is_loss
                return True
        return False

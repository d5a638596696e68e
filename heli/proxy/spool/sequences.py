"""Which of a writer's records were seen: tells records that were written twice, and how many are missing."""


class Sequences:
    """The numbers of one incarnation, from 1, nearly always in order."""

    def __init__(self) -> None:
        self.lost = 0
        """How many numbers are missing between those that were seen."""
        self._next = 1
        self._gaps: list[tuple[int, int]] = []
        """`[first, behind the last)`, in ascending order."""
        self._is_first = True

    def add(self, sequence: int, *, count_lost: bool = True) -> bool:
        """Whether it was not seen before. What was deleted before the first one counts as no loss."""
        if sequence >= self._next:
            self._add_gap(self._next, sequence, count_lost and not self._is_first)
            self._next = sequence + 1
            self._is_first = False
            return True
        return self._fill(sequence)

    def first_gap_after(self, sequence: int) -> int | None:
        """The first missing number behind a given one."""
        return next((first for first, _ in self._gaps if first > sequence), None)

    def _add_gap(self, first: int, end: int, is_lost: bool) -> None:
        if first < end:
            self._gaps.append((first, end))
            self.lost += (end - first) if is_lost else 0

    def _fill(self, sequence: int) -> bool:
        for place, (first, end) in enumerate(self._gaps):
            if first <= sequence < end:
                parts = [(first, sequence), (sequence + 1, end)]
                self._gaps[place : place + 1] = [part for part in parts if part[0] < part[1]]
                self.lost = max(0, self.lost - 1)
                return True
        return False

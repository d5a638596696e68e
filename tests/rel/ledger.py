"""The client's ledger: what it meant to do and what came of it, on disk before and after; and the checker.

The checker is Jepsen's set-full: what was acknowledged must be there, once and unchanged.
"""

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any


class Ledger:
    """One fsynced line for each step: `invoke` before an operation, then `ok`, `fail` or `unknown`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()

    def close(self) -> None:
        os.close(self._descriptor)

    def invoke(self, ids: Iterable[str], **facts: Any) -> None:
        """About to send these. `facts` may hold `sha256` and `cost`, each `{id: value}`."""
        self._write("invoke", ids, facts)

    def ok(self, ids: Iterable[str]) -> None:
        """Acknowledged: they must never be lost."""
        self._write("ok", ids, {})

    def fail(self, ids: Iterable[str]) -> None:
        """Refused for good: they must never be seen."""
        self._write("fail", ids, {})

    def unknown(self, ids: Iterable[str]) -> None:
        """No answer: either is right."""
        self._write("unknown", ids, {})

    def _write(self, step: str, ids: Iterable[str], facts: Mapping[str, Any]) -> None:
        line = json.dumps({"step": step, "ids": list(ids), **facts}, default=str) + "\n"
        with self._lock:
            os.write(self._descriptor, line.encode())
            os.fdatasync(self._descriptor)

    def read(self) -> "Book":
        book = Book()
        for line in self.file.read_text().splitlines():
            entry = json.loads(line)
            for one in entry["ids"]:
                book.state[one] = entry["step"]
            book.sha256.update(entry.get("sha256", {}))
            book.cost.update({key: Decimal(value) for key, value in entry.get("cost", {}).items()})
        return book


@dataclass(slots=True)
class Book:
    """The ledger, read back."""

    state: dict[str, str] = field(default_factory=dict)
    """The last step of each id; an `invoke` that nothing follows counts as unknown."""
    sha256: dict[str, str] = field(default_factory=dict)
    cost: dict[str, Decimal] = field(default_factory=dict)

    @property
    def acknowledged(self) -> set[str]:
        return {one for one, step in self.state.items() if step == "ok"}

    def cost_of(self, ids: Iterable[str]) -> Decimal:
        return sum((self.cost[one] for one in ids), Decimal(0))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong; all four empty when nothing is."""

    lost: list[str]
    """Acknowledged and not there."""
    duplicate: list[str]
    phantom: list[str]
    """There, and never sent, or refused."""
    corrupt: list[str]
    """There, with another hash."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicate or self.phantom or self.corrupt)

    def __str__(self) -> str:
        return (
            f"lost {len(self.lost)}, duplicate {len(self.duplicate)}, "
            f"phantom {len(self.phantom)}, corrupt {len(self.corrupt)}"
        )


def check(book: Book, found: Iterable[tuple[str, str]]) -> Verdict:
    """`found` has an `(id, sha256)` for each copy that is there; an empty hash is not compared."""
    seen: dict[str, int] = {}
    corrupt, phantom = [], []
    for one, digest in found:
        seen[one] = seen.get(one, 0) + 1
        if book.state.get(one, "fail") == "fail":
            phantom.append(one)
        elif digest and book.sha256.get(one, digest) != digest:
            corrupt.append(one)
    return Verdict(
        lost=sorted(book.acknowledged - seen.keys()),
        duplicate=sorted(one for one, count in seen.items() if count > 1),
        phantom=phantom,
        corrupt=corrupt,
    )

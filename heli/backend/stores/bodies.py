"""Bodies: the archived exchanges, each found again by a short reference that its row keeps.

They are the log's source: rows can be made anew from them. What is in an item is its writer's business.
"""

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID


class Body(NamedTuple):
    """An item of the archive."""

    ref: str
    id: UUID
    data: bytes


class BodyStore(Protocol):
    """Where bodies are kept. Methods block, and may be called from many threads."""

    def put_many(self, items: Sequence[tuple[UUID, bytes]]) -> list[str]:
        """Keep items, durably, and return their references in the same order. On an error none is kept.

        The same id may be put again: it gets another reference, and both can be read.
        Raises `UnreachableError` when trying again may help (a full disk), `StoreError` when not.
        """
        ...

    def get(self, ref: str) -> bytes:
        """The item, byte for byte as it was put.

        Raises `NotFoundError` when it is not there (any more), `StoreError` when what is there is damaged.
        """
        ...

    def iterate(self) -> Iterator[Body]:
        """All items that can be read, those of earlier days first; damaged ones are passed over."""
        ...

    def delete_before(self, day: datetime.date) -> int:
        """Delete what was put before that day (UTC); returns how many bytes of storage that freed."""
        ...

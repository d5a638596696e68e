"""What the stand-in received: one entry for each request, and for each start of one."""

import hashlib
import time
from typing import Any


class Entry:
    """One request. `record()` has the fields that tests read.

    `head` is latin-1 text of the raw bytes. `body_sha256` is over the content, `wire_sha256` over the body
    as it was framed. `peer_left_at` (seconds since 1970) is set when the peer went before the reply was sent
    whole, and `reply` tells how it ended: `sent`, `peer_left`, `broken` (on purpose) or `pending`.
    """

    def __init__(self, number: int, connection: int, peer: str, head: bytes) -> None:
        self.number = number
        self.connection = connection
        self.peer = peer
        self.head = head
        self.started_at = time.time()
        self.body_bytes = 0
        self.body_at: float | None = None
        self.ended_at: float | None = None
        self.peer_left_at: float | None = None
        self.reply = "pending"
        self.reply_bytes = 0
        self.scenario = ""
        self.chunk_sizes: list[int] = []
        self.trailers = b""
        self.frames: list[dict[str, Any]] = []
        self._content = hashlib.sha256()
        self._wire = hashlib.sha256()

    def add(self, wire: bytes, content: bytes = b"") -> None:
        self._wire.update(wire)
        self._content.update(content)
        self.body_bytes += len(content)

    def end(self, reply: str, reply_bytes: int, peer_left_at: float | None) -> None:
        self.reply = reply
        self.reply_bytes = reply_bytes
        self.peer_left_at = peer_left_at
        self.ended_at = time.time()

    def record(self) -> dict[str, Any]:
        line, *lines = self.head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        pairs = (header.partition(":") for header in lines)
        method, _, target = line.rpartition(" ")[0].partition(" ")
        return {
            "number": self.number,
            "connection": self.connection,
            "peer": self.peer,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "method": method,
            "target": target,
            "head": self.head.decode("latin-1"),
            "headers": [[name, value.strip(" ")] for name, _, value in pairs],
            "scenario": self.scenario,
            "body_whole": self.body_at is not None,
            "body_bytes": self.body_bytes,
            "body_sha256": self._content.hexdigest(),
            "wire_sha256": self._wire.hexdigest(),
            "chunk_sizes": self.chunk_sizes,
            "trailers": self.trailers.decode("latin-1"),
            "reply": self.reply,
            "reply_bytes": self.reply_bytes,
            "peer_left_at": self.peer_left_at,
            "frames": self.frames,
        }


class Journal:
    """All entries since the last reset, oldest first; counts of what is open now."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.scripts: dict[str, list[dict[str, Any]]] = {}
        self.connections = 0
        self.open_connections = 0
        self.in_flight = 0

    def open(self, connection: int, peer: str, head: bytes) -> Entry:
        entry = Entry(len(self.entries) + 1, connection, peer, head)
        self.entries.append(entry)
        return entry

    def records(self, marker: str = "") -> list[dict[str, Any]]:
        wanted = marker.encode("latin-1")
        return [entry.record() for entry in self.entries if wanted in entry.head]

    def stats(self) -> dict[str, int]:
        return {
            "requests": len(self.entries),
            "connections": self.connections,
            "open_connections": self.open_connections,
            "in_flight": self.in_flight,
        }

    def reset(self) -> None:
        """Requests in flight end in entries that nobody lists any more."""
        self.entries = []
        self.scripts = {}

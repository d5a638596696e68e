"""Exchanges that the backend does not want, as files: `<worker>/<id>.exchange`, and why in `<id>.reason`."""

import datetime
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from heli.proxy.spool.batches import Batch
from heli.proxy.spool.crash_points import reach
from heli.proxy.spool.file_system import REAL, FileSystem
from heli.proxy.spool.ledger import Position
from heli.proxy.spool.reassembly import Finished
from heli.proxy.spool.sending import BackendConnection, Verdict, send_batch
from heli.schema.errors import UnreachableError
from heli.schema.exchange import Exchange
from heli.schema.paths import make_private

_EXCHANGE, _REASON = ".exchange", ".reason"

_decode = msgspec.msgpack.Decoder(Exchange).decode


class DeadLetter(NamedTuple):
    """One of them, as it lies there."""

    id: uuid.UUID
    worker: str
    """Of the gateway that carried the call."""
    file: Path
    reason: str
    buried_at: datetime.datetime

    def read(self) -> Exchange | None:
        """The call; `None` when the file is gone or cannot be read."""
        try:
            return _decode(self.file.read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def delete(self) -> None:
        self.file.with_suffix(_REASON).unlink(missing_ok=True)
        self.file.unlink(missing_ok=True)


class Replay(NamedTuple):
    """What became of dead letters that were sent again."""

    stored: int
    refused: int
    """They are still there, with the new reason."""


def bury(folder: Path, worker: str, exchange: Finished, reason: str, disk: FileSystem = REAL) -> None:
    """Keep an exchange with its reason; both are on disk when this returns, or it raises `OSError`."""
    place = make_private(folder / worker)
    name = str(uuid.UUID(bytes=exchange.id))
    _write_whole(place / (name + _EXCHANGE), bytes(exchange.encoded), disk)
    reach("dead_letters.exchange_written")
    _write_whole(place / (name + _REASON), reason.encode(), disk)
    disk.sync_folder(place)
    reach("dead_letters.reason_synced")


def replay_dead_letters(letters: Iterable[DeadLetter], connection: BackendConnection) -> Replay:
    """Send them again, one by one; those that are stored now are deleted.

    Raises `UnreachableError` when the backend cannot take anything; the rest is then still there.
    """
    stored = refused = 0
    for letter in letters:
        reason = _send_again(letter.file, connection)
        if reason is None:
            letter.delete()
            stored += 1
        else:
            _write_whole(letter.file.with_suffix(_REASON), reason.encode(), REAL)
            refused += 1
    return Replay(stored, refused)


def list_dead_letters(folder: Path) -> list[DeadLetter]:
    """All of them, the oldest first."""
    found = [letter for file in folder.glob("*/*" + _EXCHANGE) if (letter := _look_at(file))]
    return sorted(found, key=lambda letter: (letter.buried_at, letter.id))


def _look_at(file: Path) -> DeadLetter | None:
    """`None` for what is gone by now, and for what heli has not put there."""
    reason = file.with_suffix(_REASON)
    try:
        buried_at = datetime.datetime.fromtimestamp(file.stat().st_mtime, datetime.UTC)
        text = reason.read_text(errors="replace") if reason.exists() else ""
        return DeadLetter(uuid.UUID(file.stem), file.parent.name, file, text, buried_at)
    except (FileNotFoundError, ValueError):
        return None


def _send_again(file: Path, connection: BackendConnection) -> str | None:
    """Why it was refused again; `None` when it was stored."""
    encoded = msgspec.Raw(file.read_bytes())
    batch = Batch([Finished(uuid.UUID(file.stem).bytes, encoded, Position(0, 0))])
    answer = send_batch(connection, batch.body(), batch.token)
    if answer.verdict in {Verdict.LATER, Verdict.OPERATOR}:
        raise UnreachableError(f"the backend takes nothing: {answer.reason}", "see `heli status`")
    if answer.verdict is Verdict.BAD_BATCH:
        return answer.reason
    return answer.rejected[0][1] if answer.rejected else None


def _write_whole(file: Path, content: bytes, disk: FileSystem) -> None:
    draft = file.with_name(f".{file.name}.draft")
    descriptor = disk.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        if disk.write(descriptor, [content]) != len(content):
            raise OSError(f"no space left for {file}")
        disk.fdatasync(descriptor)
    finally:
        disk.close(descriptor)
    disk.replace(draft, file)

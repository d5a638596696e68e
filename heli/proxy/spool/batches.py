"""A batch of exchanges, as it is planned, sent, and halved when the backend cannot take it."""

import hashlib
import uuid
from typing import NamedTuple

import msgspec
import zstandard

from heli.proxy.spool.ledger import Position
from heli.proxy.spool.reassembly import Finished

MAX_EXCHANGES = 1000
MAX_BYTES = 8 * 1024 * 1024
"""Of the exchanges before compression; one that is bigger is a batch alone."""
_COMPRESSION_LEVEL = 1


class Batch(NamedTuple):
    """At least one exchange, in the order in which they ended."""

    exchanges: list[Finished]

    @property
    def end(self) -> Position:
        return self.exchanges[-1].position

    @property
    def is_full(self) -> bool:
        """Whether there is probably more where it came from."""
        return len(self.exchanges) >= MAX_EXCHANGES or self.size > MAX_BYTES // 2

    @property
    def size(self) -> int:
        return sum(len(exchange.encoded) for exchange in self.exchanges)

    @property
    def token(self) -> str:
        """The same for the same exchanges, however often they are sent."""
        digest = hashlib.blake2b(digest_size=16)
        for exchange in self.exchanges:
            digest.update(exchange.id)
        return digest.hexdigest()

    def halves(self) -> tuple["Batch", "Batch"]:
        middle = len(self.exchanges) // 2
        return Batch(self.exchanges[:middle]), Batch(self.exchanges[middle:])

    def find(self, id: str) -> Finished | None:
        """The exchange with an id that the backend named."""
        try:
            raw = uuid.UUID(id).bytes
        except ValueError:
            return None
        return next((exchange for exchange in self.exchanges if exchange.id == raw), None)

    def body(self) -> bytes:
        """What is sent: zstd of a msgpack list of exchanges."""
        return compress_list([exchange.encoded for exchange in self.exchanges])


def compress_list(items: list[msgspec.Raw]) -> bytes:
    """zstd of the msgpack list of items that are encoded already; without a copy of them all."""
    head = b"\xdc" + len(items).to_bytes(2)
    size = len(head) + sum(map(len, items))
    compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compressobj(size=size)
    pieces = [compressor.compress(head)]
    pieces += [compressor.compress(memoryview(item)) for item in items]
    pieces.append(compressor.flush())
    return b"".join(pieces)

"""From the bytes of an ingest call to exchanges and records, with bounds that hold before memory is spent."""

import msgspec
import zstandard

from heli.schema.errors import HeliError, UsageError
from heli.schema.exchange import Exchange, Record

ID_BYTES = 16

_exchanges = msgspec.msgpack.Decoder(list[Exchange])
_records = msgspec.msgpack.Decoder(list[Record])


class TooLargeError(HeliError):
    """More bytes than this door takes; the same content in smaller parts may pass."""

    code = "too_large"
    status = 413


def decode_batch(body: bytes, max_bytes: int) -> list[Exchange]:
    """The exchanges of a batch. Raises `UsageError` that says why not, `TooLargeError` beyond `max_bytes`."""
    exchanges = _parse(_exchanges, body, max_bytes)
    for place, exchange in enumerate(exchanges):
        _check(exchange, place)
    return exchanges


def decode_live(body: bytes, max_bytes: int) -> list[Record]:
    """The records of a live call; errors as in `decode_batch`."""
    return _parse(_records, body, max_bytes)


def _parse[T](decoder: msgspec.msgpack.Decoder[T], body: bytes, max_bytes: int) -> T:
    try:
        return decoder.decode(inflate(body, max_bytes))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"the batch does not parse: {error}", "send msgpack as this version of heli does"
        ) from error


def inflate(body: bytes, max_bytes: int) -> bytes:
    """Undo zstd, at most `max_bytes` of output. Raises `UsageError` or `TooLargeError`."""
    try:
        size = zstandard.frame_content_size(body)
        if size > max_bytes:
            raise TooLargeError(
                f"the batch holds {size:,} bytes, the limit is {max_bytes:,}", "send less at once"
            )
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
            body, read_across_frames=True
        )
        content = reader.read(size if size >= 0 else max_bytes + 1)
        if len(content) > max_bytes or reader.read(1):
            raise TooLargeError(f"the batch holds more than {max_bytes:,} bytes", "send less at once")
    except zstandard.ZstdError as error:
        raise UsageError(f"the batch is not zstd: {error}", "send it with Content-Encoding: zstd") from error
    return content


def _check(exchange: Exchange, place: int) -> None:
    if len(exchange.id) != ID_BYTES:
        raise UsageError(f"exchange {place} has an id of {len(exchange.id)} bytes, not {ID_BYTES}")

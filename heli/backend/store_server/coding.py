"""Content codings and forms of the store's HTTP interface."""

import gzip
import re
import zlib
from collections.abc import Callable
from urllib.parse import parse_qsl

import zstandard

from heli.backend.store_server.http import MAX_BODY

MIN_COMPRESSED = 1024
"""Shorter answers are sent as they are."""


class CodingError(Exception):
    """A body cannot be read; with ClickHouse's error number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = f"Code: {code}. DB::Exception: {text}"


def decompress(coding: str, body: bytes) -> bytes:
    """Undo a Content-Encoding. The result is bounded, as bodies are."""
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return body
    if coding not in DECODERS:
        raise CodingError(48, f"Content-Encoding {coding} is not supported. (NOT_IMPLEMENTED)")
    try:
        plain = DECODERS[coding](body)
    except (zlib.error, EOFError, ValueError, RuntimeError, zstandard.ZstdError) as error:
        raise CodingError(271, f"the {coding} body is broken: {error}. (CANNOT_DECOMPRESS)") from error
    if len(plain) > MAX_BODY:
        raise CodingError(307, f"the body is longer than {MAX_BODY} bytes. (TOO_MANY_BYTES)")
    return plain


def _zlib(window: int) -> Callable[[bytes], bytes]:
    def decode(body: bytes) -> bytes:
        decoder = zlib.decompressobj(window)
        plain = decoder.decompress(body, MAX_BODY + 1)
        if len(plain) <= MAX_BODY and not decoder.eof:
            raise EOFError("it breaks off")
        return plain

    return decode


def _zstd(body: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
        return reader.read(MAX_BODY + 1)


def _lz4(body: bytes) -> bytes:
    try:
        import lz4.frame  # type: ignore[import-untyped]
    except ImportError:
        raise CodingError(48, "Content-Encoding lz4 needs the package lz4. (NOT_IMPLEMENTED)") from None
    decoder = lz4.frame.LZ4FrameDecompressor()
    plain: bytes = decoder.decompress(body, MAX_BODY + 1)
    if len(plain) <= MAX_BODY and not decoder.eof:
        raise EOFError("it breaks off")
    return plain


DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _zlib(31),
    "deflate": _zlib(15),
    "zstd": _zstd,
    "lz4": _lz4,
}


def compress(accepted: str, body: bytes) -> tuple[bytes, str]:
    """The body in a coding that the caller takes, and the coding's name; empty when it is left as it is."""
    names = {part.split(";")[0].strip().lower() for part in accepted.split(",")}
    if len(body) < MIN_COMPRESSED:
        return body, ""
    if "zstd" in names:
        return zstandard.ZstdCompressor(level=1).compress(body), "zstd"
    if "gzip" in names:
        return gzip.compress(body, 1), "gzip"
    return body, ""


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form: the query and its parameters, when they are too long for an address."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    if match is None:
        raise CodingError(36, "a multipart form without a boundary. (BAD_ARGUMENTS)")
    fields = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + match[1].encode())[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'\bname="([^"]*)"', head)
        if name is None or b"filename=" in head:
            raise CodingError(48, "the embedded engine takes no external tables. (NOT_IMPLEMENTED)")
        fields[name[1].decode()] = value.decode()
    return fields

"""Chunked transfer undone, of a whole body or piece by piece. A cut body yields what came before the cut."""

from collections.abc import Iterator


def looks_chunked(data: bytes) -> bool:
    """Whether a body begins with the size of a chunk; a copy may have had its frames taken off before."""
    line = data[:32].split(b"\r\n", 1)[0].split(b";", 1)[0].strip()
    return bool(line) and all(byte in b"0123456789abcdefABCDEF" for byte in line)


def unchunk(data: bytes) -> bytes | None:
    """The payload of all chunks; `None` when the bytes are not chunked at all."""
    return b"".join(_chunks(data)) if looks_chunked(data) else None


def _chunks(data: bytes) -> Iterator[bytes]:
    position = 0
    while (line_end := data.find(b"\r\n", position, position + 4096)) >= 0:
        try:
            size = int(data[position:line_end].split(b";", 1)[0], 16)
        except ValueError:
            return
        if size <= 0:
            return
        yield data[line_end + 2 : line_end + 2 + size]
        position = line_end + 2 + size + 2


class Unchunker:
    """Takes chunk frames off, piece by piece."""

    def __init__(self) -> None:
        self._left = 0
        self._line = b""
        self._skip = 0
        self._ended = False

    def feed(self, piece: bytes) -> bytes:
        payload: list[bytes] = []
        position = 0
        while position < len(piece) and not self._ended:
            if self._skip:
                step = min(self._skip, len(piece) - position)
                self._skip -= step
                position += step
            elif self._left:
                payload.append(piece[position : position + self._left])
                position += len(payload[-1])
                self._left -= len(payload[-1])
                self._skip = 0 if self._left else 2
            else:
                position = self._read_line(piece, position)
        return b"".join(payload)

    def _read_line(self, piece: bytes, position: int) -> int:
        end = piece.find(b"\n", position)
        self._line += piece[position : end + 1 if end >= 0 else len(piece)]
        if end < 0:
            self._ended = len(self._line) > 4096
            return len(piece)
        try:
            self._left = int(self._line.split(b";", 1)[0], 16)
        except ValueError:
            self._left = 0
        self._ended = self._left <= 0
        self._line = b""
        return end + 1

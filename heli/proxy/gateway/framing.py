"""Where a body ends. Bytes are counted and passed on as they are; nothing is put together anew.

Anything ambiguous raises `BadFraming`: two parties that disagree about an end can be made to smuggle.
"""

import re


class BadFraming(Exception):  # noqa: N818 - it is a fact about bytes, told to the peer
    """The bytes are not a body. `good` of those just given still were."""

    def __init__(self, reason: str, good: int = 0) -> None:
        super().__init__(reason)
        self.good = good


class Body:
    """A body under way."""

    __slots__ = ("ends_with_connection", "is_done")

    def __init__(self, *, is_done: bool = True, ends_with_connection: bool = False) -> None:
        self.is_done = is_done
        self.ends_with_connection = ends_with_connection
        """Whether the peer ends the body by closing the connection."""

    def take(self, data: bytes) -> int:
        """How many of the next bytes belong to the body; fewer than all only when it is done."""
        raise NotImplementedError


class NoBody(Body):
    """A message without a body."""

    __slots__ = ()

    def take(self, data: bytes) -> int:
        return 0


class UntilClose(Body):
    """A reply that lasts until the provider closes the connection."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(is_done=False, ends_with_connection=True)

    def take(self, data: bytes) -> int:
        return len(data)


class LengthBody(Body):
    """A body of a known length."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length
        self.is_done = length == 0
        self.ends_with_connection = False

    def take(self, data: bytes) -> int:
        size = len(data)
        if size >= self.left:
            size = self.left
            self.is_done = True
        self.left -= size
        return size


_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n\0]*)?")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*")
_MOST_LINE = 4096
_MOST_TRAILERS = 16_384


class ChunkedBody(Body):
    """A body in chunks, with their extensions and trailers."""

    __slots__ = ("_data_left", "_in_trailers", "_line", "_trailer_bytes")

    def __init__(self) -> None:
        super().__init__(is_done=False)
        self._data_left = 0
        """Bytes of the chunk at hand, with the line end that follows it."""
        self._line = b""
        """The beginning of a line whose end has not come yet."""
        self._in_trailers = False
        self._trailer_bytes = 0

    def take(self, data: bytes) -> int:
        position, size = 0, len(data)
        while position < size and not self.is_done:
            position = self._data(data, position) if self._data_left else self._next_line(data, position)
        return position

    def _data(self, data: bytes, position: int) -> int:
        """Pass the chunk at hand; its last two bytes must be a line end."""
        end = min(position + self._data_left, len(data))
        left = self._data_left - (end - position)
        if left < 2:
            expected = b"\r\n"[max(0, 2 - self._data_left) : 2 - left]
            if data[end - len(expected) : end] != expected:
                raise BadFraming("a chunk is longer than it says", position)
        self._data_left = left
        return end

    def _next_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        if end < 0:
            self._line += data[position:]
            if len(self._line) > _MOST_LINE:
                raise BadFraming("a chunk's size line is too long", position)
            return len(data)
        line = self._line + data[position:end]
        self._line = b""
        if not line.endswith(b"\r") or len(line) > _MOST_LINE:
            raise BadFraming("a line among the chunks does not end as it must", position)
        self._read_line(line[:-1], position)
        return end + 1

    def _read_line(self, line: bytes, position: int) -> None:
        if self._in_trailers:
            self._trailer_bytes += len(line)
            if not line:
                self.is_done = True
            elif self._trailer_bytes > _MOST_TRAILERS or not _TRAILER_LINE.fullmatch(line):
                raise BadFraming("a trailer is not a header line, or there are too many", position)
            return
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise BadFraming(f"{line[:20]!r} is not a chunk's size", position)
        chunk = int(match[1], 16)
        if chunk:
            self._data_left = chunk + 2
        else:
            self._in_trailers = True

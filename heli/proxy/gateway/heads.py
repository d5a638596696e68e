"""The heads of messages: judged strictly, read once, and put together for the other side.

llhttp judges whether a head is HTTP, and refuses bare line ends, folded lines, control characters and
lengths given twice. The lines are then taken as they stand, so that order, case and spacing travel on.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

import httptools

from heli.proxy.gateway.framing import Body, ChunkedBody, LengthBody, NoBody, UntilClose
from heli.proxy.gateway.headers import Kind, Line, Pair, read_line

HEAD_END = b"\r\n\r\n"


class BadHead(Exception):  # noqa: N818 - it is a fact about bytes, told to the peer
    """A head that is refused, with the status that tells the caller so."""

    def __init__(self, reason: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(reason)
        self.status = status


class _Nothing:
    """A parser's listener that wants no events: the parser only judges.

    The parser asks for each of these by name, for each message; a name that is missing costs an exception.
    """

    on_message_begin: None = None
    on_url: None = None
    on_status: None = None
    on_header: None = None
    on_headers_complete: None = None
    on_body: None = None
    on_message_complete: None = None
    on_chunk_header: None = None
    on_chunk_complete: None = None


_NOTHING = _Nothing()
_MOST_DIGITS = 18
"""Of a length."""
_OWN_OPTIONS = frozenset({b"", b"close", b"keep-alive", b"upgrade"})
_NEVER_HOP = frozenset({b"content-length", b"transfer-encoding", b"host"})


_NO_HELI: Mapping[bytes, bytes] = MappingProxyType({})


class Head:
    """What requests and replies have in common. What is not said stays as the class has it."""

    captured: list[Pair]
    """All headers, secrets masked."""
    version = b""
    content_length: int | None = None
    length_line = b""
    length_digits = b""
    length_index = 0
    """Where among the captured headers the length stands."""
    is_chunked = False
    connection = b""
    """The options of the connection header, in lower case."""
    upgrade = b""
    host: bytes | None = None
    host_line = 0
    """Where among `lines` the host stands, without its value."""
    heli: Mapping[bytes, bytes]
    """`Helicone-*` and `Heli-*` headers, names in lower case, the last of a name."""
    has_second_key = False
    """The authorisation names more than one key."""
    wants_close = False
    """The sender ends the connection after this message."""

    def __init__(self, block: bytes) -> None:
        lines = block[:-4].split(b"\r\n")
        self.first_line = lines.pop(0)
        self.lines = lines
        """The header lines that travel on, untouched."""
        self.heli = _NO_HELI

    def sort_lines(self, *, keep_heli: bool, is_reply: bool = False) -> None:
        """Sort the header lines; with `keep_heli`, those meant for heli travel on."""
        lines = self.lines
        captured = self.captured = []
        dropped: list[int] = []
        for index, line in enumerate(lines):
            read = read_line(line)
            captured.append(read.pair)
            if not read.kind:
                continue
            kind = read.kind & ~Kind.HOST if is_reply else read.kind
            if kind & Kind.READ:
                self._read(kind, read, line, index)
            if kind & Kind.HOST:
                self.host_line = index - len(dropped)
                lines[index] = read.pair[0]
            elif kind & Kind.STAYS and not (kind & Kind.HELI and keep_heli):
                dropped.append(index)
        for index in reversed(dropped):
            del lines[index]

    def _read(self, kind: int, read: Line, line: bytes, index: int) -> None:
        """Take in a header that the gateway itself reads."""
        value = read.value
        if kind & Kind.LENGTH:
            if self.content_length is not None or not value.isdigit() or len(value) > _MOST_DIGITS:
                raise BadHead("its length is not one plain number")
            self.content_length = int(value)
            self.length_line, self.length_digits, self.length_index = line, value, index
        elif kind & Kind.HOST:
            if self.host is not None:
                raise BadHead("it names its host twice")
            self.host = value
        elif kind & Kind.AUTHORIZATION:
            self.has_second_key = self.has_second_key or b"," in value
        elif kind & Kind.CONNECTION:
            self.connection = self.connection + b"," + value.lower() if self.connection else value.lower()
        elif kind & Kind.ENCODING:
            if self.is_chunked or value.lower() != b"chunked":
                raise BadHead("its transfer encoding is not chunked", HTTPStatus.NOT_IMPLEMENTED)
            self.is_chunked = True
        elif kind & Kind.UPGRADE:
            self.upgrade = value.lower()
        else:
            self.heli = {**self.heli, read.pair[0].lower(): value}

    def settle(self) -> None:
        """Draw the conclusions that need all lines."""
        if self.is_chunked and (self.content_length is not None or self.version == b"HTTP/1.0"):
            raise BadHead("it gives its length in two ways, or in one that its version does not know")
        connection = self.connection
        if self.version == b"HTTP/1.0":
            self.wants_close = b"keep-alive" not in connection
        elif connection:
            self.wants_close = b"close" in connection
        if connection and connection != b"keep-alive" and connection != b"close":
            self._drop_named_hops()

    def _drop_named_hops(self) -> None:
        """Leave out the headers that the connection header declares to be for this connection only."""
        options = {option.strip() for option in self.connection.split(b",")} - _OWN_OPTIONS - _NEVER_HOP
        if options:
            host_line = self.lines[self.host_line] if self.host is not None else b""
            self.lines = [line for line in self.lines if line.partition(b":")[0].lower() not in options]
            if host_line:
                self.host_line = self.lines.index(host_line)


class RequestHead(Head):
    """A caller's request head."""

    def __init__(self, block: bytes) -> None:
        super().__init__(block)
        parts = self.first_line.split(b" ")
        if len(parts) != 3:
            raise BadHead("its first line is not `METHOD /path HTTP/1.1`")
        self.method, self.target, self.version = parts
        """The target is path and query."""
        if self.version not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise BadHead("only HTTP/1.1 is spoken here", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if self.target[:1] != b"/" and not (self.target == b"*" and self.method == b"OPTIONS"):
            raise BadHead(
                "its target is not a path; to use heli as a proxy, set HTTPS_PROXY to the interceptor"
            )

    def body(self) -> Body:
        """How the request's body is framed."""
        if self.is_chunked:
            return ChunkedBody()
        return LengthBody(self.content_length) if self.content_length else NoBody()


class ReplyHead(Head):
    """A provider's reply head."""

    def __init__(self, block: bytes) -> None:
        super().__init__(block)
        self.version = self.first_line[:8]
        self.status = int(self.first_line[9:12])

    @property
    def is_interim(self) -> bool:
        """Whether the real reply is still to come."""
        return 100 <= self.status < 200 and self.status != HTTPStatus.SWITCHING_PROTOCOLS

    def body(self, method: bytes) -> Body:
        """How the reply's body is framed, which also depends on what was asked."""
        if method == b"HEAD" or self.status in (204, 304):
            return NoBody()
        if self.is_chunked:
            return ChunkedBody()
        return UntilClose() if self.content_length is None else LengthBody(self.content_length)


def read_request_head(block: bytes, max_headers: int, keep_heli: bool = False) -> RequestHead:
    """Read a request's head, which `block` holds from its first byte to the empty line.

    With `keep_heli` the headers meant for heli travel on. Raises `BadHead`.
    """
    try:
        httptools.HttpRequestParser(_NOTHING).feed_data(block)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise BadHead(str(error)) from error
    head = RequestHead(block)
    if len(head.lines) > max_headers:
        raise BadHead("it has too many headers", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    head.sort_lines(keep_heli=keep_heli)
    if head.host is None:
        if head.version == b"HTTP/1.1":
            raise BadHead("it names no host")
        head.host = b""
        head.lines.insert(0, b"Host")
    head.settle()
    return head


def read_reply_head(block: bytes) -> ReplyHead:
    """Read a reply's head. Raises `BadHead`."""
    try:
        httptools.HttpResponseParser(_NOTHING).feed_data(block)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise BadHead(str(error)) from error
    head = ReplyHead(block)
    head.sort_lines(keep_heli=True, is_reply=True)
    head.settle()
    return head

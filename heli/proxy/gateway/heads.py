"""The heads of messages: read strictly, split once, and put together for the other side.

llhttp judges whether a head is HTTP; the lines are then taken as they stand, so that order, case and
spacing travel on. What two parsers could read in two ways is refused.
"""

import re
from http import HTTPStatus

import httptools

from heli.proxy.gateway.framing import Body, ChunkedBody, LengthBody, NoBody, UntilClose
from heli.proxy.gateway.headers import KINDS, Kind, kind_of, mask_value

HEAD_END = b"\r\n\r\n"


class BadHead(Exception):  # noqa: N818 - it is a fact about bytes, told to the peer
    """A head that is refused, with the status that tells the caller so."""

    def __init__(self, reason: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(reason)
        self.status = status


class _Nothing:
    """A parser's listener that wants no events: the parser only judges."""


_NOTHING = _Nothing()
_LENGTH = re.compile(rb"[0-9]{1,18}")


class Head:
    """What requests and replies have in common."""

    __slots__ = (
        "captured",
        "connection",
        "content_length",
        "first_line",
        "lines",
        "transfer_encoding",
        "upgrade",
        "version",
    )

    def __init__(self) -> None:
        self.first_line = b""
        self.version = b""
        self.lines: list[bytes] = []
        """The header lines that travel on, untouched."""
        self.captured: list[tuple[bytes, bytes]] = []
        """All headers, secrets masked."""
        self.content_length: int | None = None
        self.transfer_encoding: bytes | None = None
        self.connection = b""
        """The options of the connection header, in lower case."""
        self.upgrade = b""

    def read_special(self, name: bytes, value: bytes, line: bytes) -> None:
        """Take in a header that says something about the message or the connection."""
        lower = name.lower()
        if lower == b"content-length":
            if self.content_length is not None or not _LENGTH.fullmatch(value):
                raise BadHead("its length is not one plain number")
            self.content_length = int(value)
            self.lines.append(line)
        elif lower == b"transfer-encoding":
            if self.transfer_encoding is not None:
                raise BadHead("it names its transfer encoding twice")
            self.transfer_encoding = value.lower()
            self.lines.append(line)
        elif lower == b"connection":
            self.connection = self.connection + b"," + value.lower() if self.connection else value.lower()
        elif lower == b"upgrade":
            self.upgrade = value.lower()

    def drop_named_hops(self) -> None:
        """Leave out the headers that the connection header declares to be for this connection only."""
        options = {option.strip() for option in self.connection.split(b",")}
        options -= {
            b"",
            b"close",
            b"keep-alive",
            b"upgrade",
            b"content-length",
            b"transfer-encoding",
            b"host",
        }
        if options:
            self.lines = [line for line in self.lines if line.partition(b":")[0].lower() not in options]

    @property
    def wants_close(self) -> bool:
        """Whether the sender ends the connection after this message."""
        if self.version == b"HTTP/1.0":
            return b"keep-alive" not in self.connection
        return b"close" in self.connection


class RequestHead(Head):
    """A caller's request head."""

    __slots__ = ("heli", "host", "host_line", "method", "target")

    def __init__(self) -> None:
        super().__init__()
        self.method = b""
        self.target = b""
        """Path and query."""
        self.host: bytes | None = None
        self.host_line = 0
        """Where among `lines` the host stands."""
        self.heli: dict[bytes, bytes] = {}
        """`Helicone-*` and `Heli-*` headers, names in lower case, the last of a name."""

    def body(self) -> Body:
        """How the request's body is framed."""
        if self.transfer_encoding is not None:
            return ChunkedBody()
        return LengthBody(self.content_length) if self.content_length else NoBody()


class ReplyHead(Head):
    """A provider's reply head."""

    __slots__ = ("reason", "status")

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.reason = b""

    @property
    def is_interim(self) -> bool:
        """Whether the real reply is still to come."""
        return 100 <= self.status < 200 and self.status != HTTPStatus.SWITCHING_PROTOCOLS

    def body(self, method: bytes) -> Body:
        """How the reply's body is framed, which also depends on what was asked."""
        if method == b"HEAD" or self.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            return NoBody()
        if self.transfer_encoding is not None:
            return ChunkedBody()
        if self.content_length is not None:
            return LengthBody(self.content_length)
        return UntilClose()


def _check_lines(block: bytes) -> None:
    """Refuse what parsers are known to disagree about."""
    ends = block.count(b"\r\n")
    if block.count(b"\n") != ends or block.count(b"\r") != ends:
        raise BadHead("a line in it does not end as it must")
    if b"\r\n " in block or b"\r\n\t" in block:
        raise BadHead("a header in it is folded over two lines")
    if b"\0" in block:
        raise BadHead("it holds a zero byte")


def read_request_head(block: bytes, max_headers: int, keep_heli: bool = False) -> RequestHead:
    """Read a request's head, which `block` holds from its first byte to the empty line.

    With `keep_heli` the headers meant for heli travel on. Raises `BadHead`.
    """
    _check_lines(block)
    try:
        httptools.HttpRequestParser(_NOTHING).feed_data(block)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise BadHead(str(error)) from error
    lines = block[:-4].split(b"\r\n")
    if len(lines) > max_headers + 1:
        raise BadHead("it has too many headers", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    head = RequestHead()
    head.first_line = lines[0]
    _read_request_line(head)
    forwarded, captured = head.lines, head.captured
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        value = value.strip(b" \t")
        kind = KINDS.get(name)
        if kind is None:
            kind = kind_of(name)
        if kind == 0:
            forwarded.append(line)
            captured.append((name, value))
            continue
        captured.append((name, mask_value(kind, value)))
        if kind & Kind.SPECIAL:
            if name.lower() == b"host":
                _read_host(head, value)
                head.host_line = len(forwarded)
                forwarded.append(name)
            else:
                head.read_special(name, value, line)
        elif kind & Kind.HELI:
            head.heli[name.lower()] = value
            if keep_heli:
                forwarded.append(line)
        elif not kind & Kind.HOP:
            forwarded.append(line)
    _check_request(head)
    return head


def _read_request_line(head: RequestHead) -> None:
    parts = head.first_line.split(b" ")
    if len(parts) != 3:
        raise BadHead("its first line is not `METHOD /path HTTP/1.1`")
    head.method, head.target, head.version = parts
    if head.version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadHead("only HTTP/1.1 is spoken here", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if not head.target.startswith(b"/") and not (head.target == b"*" and head.method == b"OPTIONS"):
        raise BadHead("its target is not a path; to use heli as a proxy, set HTTPS_PROXY to the interceptor")


def _read_host(head: RequestHead, value: bytes) -> None:
    if head.host is not None:
        raise BadHead("it names its host twice")
    head.host = value


def _check_request(head: RequestHead) -> None:
    if head.host is None:
        if head.version == b"HTTP/1.1":
            raise BadHead("it names no host")
        head.host = b""
        head.lines.insert(0, b"Host")
    if head.transfer_encoding is not None:
        if head.transfer_encoding != b"chunked":
            raise BadHead("its transfer encoding is not chunked", HTTPStatus.NOT_IMPLEMENTED)
        if head.content_length is not None or head.version == b"HTTP/1.0":
            raise BadHead("it gives its length in two ways")
    if head.connection and head.connection not in (b"keep-alive", b"close"):
        index = head.lines[head.host_line]
        head.drop_named_hops()
        head.host_line = head.lines.index(index)


def read_reply_head(block: bytes) -> ReplyHead:
    """Read a reply's head. Raises `BadHead`."""
    _check_lines(block)
    try:
        httptools.HttpResponseParser(_NOTHING).feed_data(block)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise BadHead(str(error)) from error
    lines = block[:-4].split(b"\r\n")
    head = ReplyHead()
    head.first_line = lines[0]
    head.version = lines[0][:8]
    head.status = int(lines[0][9:12])
    head.reason = lines[0][13:]
    forwarded, captured = head.lines, head.captured
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        value = value.strip(b" \t")
        kind = KINDS.get(name)
        if kind is None:
            kind = kind_of(name)
        if kind == 0:
            forwarded.append(line)
            captured.append((name, value))
            continue
        captured.append((name, mask_value(kind, value)))
        if kind & Kind.SPECIAL:
            head.read_special(name, value, line)
        elif not kind & Kind.HOP:
            forwarded.append(line)
    if head.transfer_encoding is not None and (
        head.transfer_encoding != b"chunked" or head.content_length is not None
    ):
        raise BadHead("its reply gives its length in two ways, or in one that is not known")
    if head.connection and head.connection not in (b"keep-alive", b"close"):
        head.drop_named_hops()
    return head

"""A client at the level of bytes: sends what it is given, returns what came back and how it ended."""

import re
import socket
import struct
import time
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answered:
    """All bytes that came, and how the connection stood after."""

    data: bytes
    ending: str
    """`kept` (the reply was whole and the connection open), `fin`, `rst` or `timeout`."""

    @property
    def messages(self) -> list["Message"]:
        """Interim replies and the last one."""
        return split_messages(self.data)

    @property
    def final(self) -> "Message":
        return self.messages[-1]


@dataclass(frozen=True, slots=True)
class Message:
    line: bytes
    headers: list[tuple[bytes, bytes]]
    """As they were spelled, in order."""
    body: bytes
    """As it was framed."""

    @property
    def status(self) -> int:
        match = re.match(rb"HTTP/1\.[01] (\d\d\d)", self.line)
        return int(match[1]) if match else 0

    def header(self, name: bytes) -> bytes | None:
        return next((value.strip() for key, value in self.headers if key.lower() == name), None)


def split_messages(data: bytes) -> list[Message]:
    """Head by head; everything after the first that is not interim is its body."""
    messages: list[Message] = []
    while True:
        head, separator, rest = data.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        pairs = [(name, value) for name, _, value in (one.partition(b":") for one in lines)]
        message = Message(line, pairs, rest)
        is_interim = bool(separator) and 100 <= message.status < 200 and message.status != 101
        if not is_interim:
            return [*messages, message]
        messages.append(Message(line, pairs, b""))
        data = rest


def is_whole(data: bytes, method: str) -> bool:
    """Whether a reply is complete by its own framing; for one that lasts until the close, never."""
    message = split_messages(data)[-1]
    if b"\r\n\r\n" not in data or not message.status:
        return False
    if data.count(b"\r\n\r\n") < len(split_messages(data)):
        return False
    if method == "HEAD" or message.status in (204, 304) or 100 <= message.status < 200:
        return message.status >= 200
    if (message.header(b"transfer-encoding") or b"").lower() == b"chunked":
        return chunked_is_whole(message.body)
    length = message.header(b"content-length")
    return length is not None and length.isdigit() and len(message.body) >= int(length)


def chunked_is_whole(body: bytes) -> bool:
    at = 0
    while (end := body.find(b"\r\n", at)) >= 0:
        try:
            size = int(body[at:end].split(b";")[0], 16)
        except ValueError:
            return False
        if size == 0:
            return body.find(b"\r\n\r\n", end) >= 0
        at = end + 2 + size + 2
        if at > len(body):
            return False
    return False


def connect(url: str, timeout_s: float = 10) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout_s)


def exchange(
    url: str, request: bytes | list[bytes], *, timeout_s: float = 10, gap_s: float = 0.0
) -> Answered:
    """Send a request on a fresh connection, in pieces if it is given so, and read the reply to its end."""
    pieces = [request] if isinstance(request, bytes) else request
    method = b"".join(pieces).split(b" ", 1)[0].decode("latin-1")
    with connect(url, timeout_s) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for number, piece in enumerate(pieces):
                if number and gap_s:
                    time.sleep(gap_s)
                plain.sendall(piece)
        except ConnectionError:
            pass  # the reply may have come before all was sent
        return read_reply(plain, method, timeout_s)


def read_reply(plain: socket.socket, method: str, timeout_s: float = 10) -> Answered:
    """Read until the reply is whole, the peer ends it, or time is up."""
    data = bytearray()
    deadline = time.monotonic() + timeout_s
    while True:
        plain.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            more = plain.recv(1 << 20)
        except TimeoutError:
            return Answered(bytes(data), "timeout")
        except ConnectionError:
            return Answered(bytes(data), "rst")
        if not more:
            return Answered(bytes(data), "fin")
        data += more
        if is_whole(bytes(data), method):
            return Answered(bytes(data), "kept")


def reset(plain: socket.socket) -> None:
    """End a connection with RST."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain.close()


def json_post(path: str, body: bytes, *headers: tuple[str, str], host: str = "heli") -> bytes:
    """A POST as SDKs send it."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        "Authorization: Bearer sk-rel",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def upgrade_request(path: str, *headers: tuple[str, str], host: str = "heli") -> bytes:
    """The handshake of a WebSocket, always with the same key."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")

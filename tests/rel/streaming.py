"""Big bodies over plain sockets, in small pieces, hashed on the way: the client itself needs no memory."""

import hashlib
import socket
import threading
import time
from dataclasses import dataclass

from tests.rel.raw_client import connect
from tests.standin import pattern


@dataclass(frozen=True, slots=True)
class Transfer:
    """What came back."""

    status: int
    body_bytes: int
    body_sha256: str


def transfer(
    url: str,
    path: str,
    upload_bytes: int,
    *headers: tuple[str, str],
    bytes_per_s: float | None = None,
    timeout_s: float = 120,
) -> Transfer:
    """POST `upload_bytes` of the stand-in's pattern and read the reply; each at most at the given rate."""
    with connect(url, timeout_s) as plain:
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: heli",
            f"Content-Length: {upload_bytes}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in headers),
        ]
        plain.sendall("\r\n".join([*lines, "", ""]).encode())
        sender = threading.Thread(target=_upload, args=(plain, upload_bytes, Pace(bytes_per_s)))
        sender.start()
        try:
            return _download(plain, Pace(bytes_per_s))
        finally:
            sender.join()


class Pace:
    """Holds a transfer to a rate."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self._rate = bytes_per_s
        self._started = time.monotonic()
        self._passed = 0

    def passed(self, size: int) -> None:
        """So many bytes went through; wait if that was too fast."""
        self._passed += size
        if self._rate is not None:
            time.sleep(max(0.0, self._started + self._passed / self._rate - time.monotonic()))


def _upload(plain: socket.socket, size: int, pace: Pace) -> None:
    try:
        for piece in pattern(size):
            plain.sendall(piece)
            pace.passed(len(piece))
    except OSError:
        pass  # what came back tells whether that was right


def _download(plain: socket.socket, pace: Pace) -> Transfer:
    data = b""
    while b"\r\n\r\n" not in data:
        more = plain.recv(65536)
        if not more:
            raise ConnectionError(f"no whole head came: {data!r}")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    digest = hashlib.sha256(rest)
    count = len(rest)
    buffer = bytearray(1 << 18)
    while size := plain.recv_into(buffer):
        digest.update(memoryview(buffer)[:size])
        count += size
        pace.passed(size)
    return Transfer(int(head.split(b" ", 2)[1]), count, digest.hexdigest())

"""HTTP to the backend: one connection, kept, and answers sorted by what the shipper has to do."""

import enum
import http.client
import json
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from heli.proxy.spool.crash_points import reach

CONNECT_TIMEOUT_S = 2.0
_OTHER_HEADERS = {"Content-Type": "application/x-heli-exchanges", "Content-Encoding": "zstd"}


class Verdict(enum.Enum):
    """What an answer means for a batch."""

    STORED = "stored"
    BAD_BATCH = "bad batch"
    """The backend will never take it as it is."""
    LATER = "later"
    """It cannot be taken now."""
    OPERATOR = "operator"
    """Address, token or version are wrong; somebody has to mend that."""


class Answer(NamedTuple):
    verdict: Verdict
    reason: str
    rejected: Sequence[tuple[str, str]] = ()
    """`(id, reason)` of the exchanges that were not stored, of a batch that was."""


class BackendConnection:
    """One connection to the backend; made when needed."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._prefix = parts.path.rstrip("/")
        self._headers = _OTHER_HEADERS | {"Authorization": f"Bearer {token}"}
        self._timeout_s = timeout_s
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=CONNECT_TIMEOUT_S)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer. Raises `OSError` or `HTTPException` when there is none."""
        is_kept = self._connection.sock is not None
        try:
            return self._exchange(path, body, headers)
        except (ConnectionError, http.client.BadStatusLine):
            if not is_kept:
                raise
        # The backend may close a connection that rests; that says nothing about a new one.
        return self._exchange(path, body, headers)

    def close(self) -> None:
        self._connection.close()

    def _connect(self) -> None:
        self._connection.connect()
        connected: socket.socket = self._connection.sock
        connected.settimeout(self._timeout_s)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def _exchange(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = self._connection
        try:
            if connection.sock is None:
                self._connect()
            connection.request("POST", self._prefix + path, body, self._headers | headers)
            reach("shipper.batch_sent")
            with connection.getresponse() as response:
                return response.status, response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise


def send_batch(connection: BackendConnection, body: bytes, token: str) -> Answer:
    """One attempt; never raises for what the network or the backend does."""
    try:
        status, raw = connection.post("/v1/ingest", body, {"Heli-Batch": token})
    except (OSError, http.client.HTTPException) as error:
        return Answer(Verdict.LATER, f"{type(error).__name__}: {error}")
    return read_answer(status, raw)


def read_answer(status: int, raw: bytes) -> Answer:
    if 200 <= status < 300:
        return _read_stored(raw)
    text = raw[:2000].decode(errors="replace").strip()
    reason = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    if status in {400, 413, 422}:
        return Answer(Verdict.BAD_BATCH, reason)
    is_for_later = status >= 500 or status in {408, 425, 429}
    return Answer(Verdict.LATER if is_for_later else Verdict.OPERATOR, reason)


def _read_stored(raw: bytes) -> Answer:
    """Something else than heli's backend may answer with 200; only its own words count as stored."""
    try:
        told: dict[str, Any] = json.loads(raw)
        rejected = [(str(each["id"]), str(each["reason"])) for each in told["rejected"]]
        int(told["stored"])
    except (ValueError, TypeError, KeyError) as error:
        return Answer(Verdict.OPERATOR, f"the answer is not that of a heli backend: {error!r}")
    return Answer(Verdict.STORED, "", rejected)

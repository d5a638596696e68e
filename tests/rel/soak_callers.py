"""Who makes the soak's traffic: callers on resting connections, and WebSockets that last all the while."""

import http.client
import json
import random
import ssl
import struct
import threading
import time
from collections.abc import Callable

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

SCENARIOS = (
    {"text": "fine"},
    {"chunks": 20, "interval_ms": 10},
    {"encoding": "gzip", "chunks": 10},
    {"encoding": "zstd"},
    {"status": 429},
    {"status": 500},
    {"body_bytes": 300_000},
)
FRAME_BYTES = 64 * 1024
ANSWER_S = 60


def by_gateway(port: int) -> http.client.HTTPConnection:
    """A connection of a program whose base URL was swapped."""
    return http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)


def by_interceptor(port: int, context: ssl.SSLContext) -> http.client.HTTPConnection:
    """A connection of a program that knows nothing of heli but its proxy and its authority."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_S, context=context)
    connection.set_tunnel("api.openai.com", 443)
    return connection


class Caller(threading.Thread):
    """One program that calls again and again over one connection."""

    def __init__(
        self,
        opened: Callable[[], http.client.HTTPConnection],
        chance: random.Random,
        pause_s: float,
        until: float,
    ) -> None:
        super().__init__(daemon=True)
        self._opened = opened
        self._chance = chance
        self._pause_s = pause_s
        self._until = until
        self.calls = 0
        self.errors: list[str] = []

    def run(self) -> None:
        connection = self._opened()
        while time.monotonic() < self._until:
            try:
                self._call(connection)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.errors.append(repr(error))
                connection.close()
            self.calls += 1
            time.sleep(self._chance.expovariate(1 / self._pause_s))
        connection.close()

    def _call(self, connection: http.client.HTTPConnection) -> None:
        scenario = self._chance.choice(SCENARIOS)
        stream = self._chance.random() < 0.5
        text = "word " * self._chance.randrange(1, 2_000)
        messages = [{"role": "user", "content": text}]
        body = json.dumps({"model": "gpt-4o-mini", "stream": stream, "messages": messages})
        headers = {"content-type": "application/json", "x-standin": json.dumps(scenario)}
        connection.request("POST", "/v1/chat/completions", body, headers)
        reply = connection.getresponse()
        reply.read()
        wanted = scenario.get("status", 200)
        assert reply.status == wanted, f"{reply.status} instead of {wanted}"


class Talk(threading.Thread):
    """One WebSocket from the first to the last second, through the interceptor; every message comes back.

    The library pings it each 20 s, unless `pings` is false: then nothing at all crosses it between messages.
    """

    def __init__(
        self,
        name: str,
        proxy: str,
        context: ssl.SSLContext,
        every_s: float,
        until: float,
        *,
        deflate: bool = False,
        pings: bool = True,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._proxy = proxy
        self._context = context
        self._every_s = every_s
        self._until = until
        self.is_compressed = deflate
        self._pings = pings
        self.messages = 0
        self.minutes = 0.0
        self.has_lasted = False
        self.errors: list[str] = []

    @property
    def payload_bytes(self) -> int:
        """Of all messages that came back."""
        return self.messages * FRAME_BYTES

    def run(self) -> None:
        began = time.monotonic()
        headers = {"x-case": self.name}
        if self.is_compressed:
            headers["x-standin"] = json.dumps({"deflate": "takeover"})
        try:
            with connect(
                "wss://api.openai.com/v1/echo",
                ssl=self._context,
                proxy=self._proxy,
                additional_headers=headers,
                compression="deflate" if self.is_compressed else None,
                ping_interval=20 if self._pings else None,
                max_size=None,
            ) as session:
                self._talk(session)
            self.has_lasted = True
        except (OSError, WebSocketException, AssertionError) as error:
            self.errors.append(f"{self.name} after {self.messages} messages: {error!r}")
        self.minutes = (time.monotonic() - began) / 60

    def _talk(self, session: ClientConnection) -> None:
        due = time.monotonic()
        while (now := time.monotonic()) < self._until:
            if now < due:
                time.sleep(min(due, self._until) - now)
                continue
            sent = struct.pack(">I", self.messages) * (FRAME_BYTES // 4)
            session.send(sent)
            assert session.recv(timeout=ANSWER_S) == sent, "another message came back"
            self.messages += 1
            due += self._every_s

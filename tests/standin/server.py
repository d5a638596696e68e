"""The stand-in's connections: reads requests, finds their scenario, has the reply made and sent."""

import asyncio
import base64
import json
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.standin.journal import Entry, Journal
from tests.standin.replies import Call, Reply, json_reply, make_reply, to_json
from tests.standin.scenario import BadScenarioError, Scenario, find_scenario
from tests.standin.sending import BrokenOnPurposeError, Sender
from tests.standin.websocket import Session
from tests.standin.wire import PeerGoneError, Wire

type Take = Callable[[bytes, bytes], None]
"""`(as framed, content)` of a piece of a body."""

TLS_HANDSHAKE = b"\x16"
MAX_BODY = 32 << 20
"""A longer body is hashed but not looked at."""


class Server:
    """Serves until its task is cancelled."""

    def __init__(self) -> None:
        self.journal = Journal()
        self._tasks: set[asyncio.Task[None]] = set()

    def make_wire(self) -> Wire:
        return Wire(self._accept)

    def _accept(self, wire: Wire) -> None:
        task = asyncio.ensure_future(self._connection(wire))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, wire: Wire) -> None:
        self.journal.connections += 1
        self.journal.open_connections += 1
        number = self.journal.connections
        try:
            while await self._request(wire, number):
                pass
        except (PeerGoneError, BrokenOnPurposeError):
            pass
        finally:
            wire.finish()
            self.journal.open_connections -= 1

    async def _request(self, wire: Wire, connection: int) -> bool:
        """Serve one request; return whether another may follow."""
        head = await wire.read_exactly(1)
        if head == TLS_HANDSHAKE:
            await wire.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            return False
        head += await wire.read_until(b"\r\n\r\n")
        line = head.split(b"\r\n", 1)[0].decode("latin-1")
        method, target, _version = (*line.split(" ", 2), "", "")[:3]
        if target.startswith("/_"):
            return await self._control(wire, method, target, head)
        entry = self.journal.open(connection, wire.peer, head)
        self.journal.in_flight += 1
        sent_before = wire.sent_bytes
        outcome = "peer_left"
        try:
            keep = await self._serve(wire, entry, method, target)
            outcome = "sent"
            return keep
        except BrokenOnPurposeError:
            outcome = "broken"
            raise
        finally:
            self.journal.in_flight -= 1
            entry.end(
                outcome, wire.sent_bytes - sent_before, wire.gone_at if outcome == "peer_left" else None
            )

    async def _serve(self, wire: Wire, entry: Entry, method: str, target: str) -> bool:
        headers = _headers(entry.head)
        is_alive = headers.get("connection", "").lower() != "close"
        try:
            scenario = find_scenario(_raw(headers.get("x-standin")), target)
            body = b"" if scenario.early else await _read_body(wire, headers, entry)
            if scenario == Scenario():
                scenario = find_scenario(None, target, body)
        except BadScenarioError as error:
            sender = Sender(wire, Scenario(), is_head=False, keep_alive=False)
            return await sender.send(json_reply({"error": {"message": f"bad scenario: {error}"}}, status=400))
        entry.scenario = "" if scenario == Scenario() else repr(scenario)
        digest = entry.record()["body_sha256"]
        call = Call(method=method, target=target, headers=headers, body=body, body_sha256=digest)
        if scenario.script:
            await self._play(wire, scenario.script)
            return is_alive
        if headers.get("upgrade", "").lower() == "websocket" and scenario.status == 200:
            await Session(wire, call, scenario, entry).run()
            return False
        keep = is_alive and not scenario.early
        return await Sender(wire, scenario, is_head=method == "HEAD", keep_alive=keep).send(
            _make(call, scenario)
        )

    async def _play(self, wire: Wire, name: str) -> None:
        for step in self.journal.scripts.get(name, [{"close": "fin"}]):
            if "write" in step:
                await wire.write(step["write"])
                await asyncio.sleep(0)  # A write that finds room waits for nothing, and lets nobody else in.
            if "pause_ms" in step:
                await wire.pause(step["pause_ms"] / 1000)
            if "close" in step:
                await wire.break_with(step["close"])
                raise BrokenOnPurposeError

    async def _control(self, wire: Wire, method: str, target: str, head: bytes) -> bool:
        url = urlsplit(target)
        headers = _headers(head)
        body = await wire.read_exactly(int(headers.get("content-length", 0)))
        told: object = {"ok": True}
        match method, url.path:
            case "GET", "/_journal":
                told = self.journal.records(parse_qs(url.query).get("marker", [""])[0])
            case "GET", "/_stats":
                told = self.journal.stats()
            case "POST", "/_reset":
                self.journal.reset()
            case "PUT", path if path.startswith("/_scripts/"):
                self.journal.scripts[path.removeprefix("/_scripts/")] = [
                    _read_step(s) for s in json.loads(body)
                ]
            case _:
                told = {"error": f"{method} {target} is not something that the stand-in knows"}
        text = to_json(told)
        await wire.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(text)
        )
        await wire.write(text)
        return True


def _make(call: Call, scenario: Scenario) -> Reply:
    reply = make_reply(call, scenario)
    if scenario.status in (200, reply.status):
        return reply
    return Reply(status=scenario.status, headers=reply.headers, body=reply.body, events=reply.events)


def _read_step(step: dict[str, Any]) -> dict[str, Any]:
    return {**step, "write": base64.b64decode(step["write"])} if "write" in step else step


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def _raw(header: str | None) -> bytes | None:
    return None if header is None else header.encode("latin-1")


async def _read_body(wire: Wire, headers: dict[str, str], entry: Entry) -> bytes:
    """The content, or what is kept of it; the entry is told of every piece."""
    if headers.get("expect", "").lower() == "100-continue":
        await wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    kept = bytearray()

    def take(raw: bytes, content: bytes) -> None:
        entry.add(raw, content)
        if len(kept) < MAX_BODY:
            kept.extend(content)

    if "chunked" in headers.get("transfer-encoding", "").lower():
        await _read_chunked(wire, entry, take)
    else:
        left = int(headers.get("content-length", 0))
        while left:
            data = await wire.read_some(min(left, 1 << 20))
            left -= len(data)
            take(data, data)
    entry.body_at = asyncio.get_running_loop().time()
    return bytes(kept)


async def _read_chunked(wire: Wire, entry: Entry, take: Take) -> None:
    while True:
        line = await wire.read_until(b"\r\n")
        size = int(line.split(b";", 1)[0], 16)
        take(line, b"")
        if not size:
            break
        entry.chunk_sizes.append(size)
        left = size
        while left:
            data = await wire.read_some(min(left, 1 << 20))
            left -= len(data)
            take(data, data)
        take(await wire.read_exactly(2), b"")
    while (line := await wire.read_until(b"\r\n")) != b"\r\n":
        entry.trailers += line
        take(line, b"")
    take(line, b"")


async def listen(port: int, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    server = Server()
    loop = asyncio.get_running_loop()
    return await loop.create_server(server.make_wire, "127.0.0.1", port, ssl=tls, backlog=4096)

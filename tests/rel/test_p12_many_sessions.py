"""P12: many WebSockets at once through interceptor and gateway, both of what echoes and of OpenAI Realtime.

Frames of 64 KiB, fragments, pings and closes, for as long as the figure says: every frame arrives, in order,
both ways; memory stays; what was recorded of each session is what crossed the wire; one that is silent all
the while lives.
"""

import asyncio
import json
import ssl
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from heli.schema.exchange import Exchange, Outcome
from tests.proxy.intercept.rig import Rig, running
from tests.rel import probe
from tests.rel.framed import Frame, Framed, WireCount, in_two
from tests.rel.heli_under_test import wait_until
from tests.rel.sizes import sized
from tests.rel.test_p7_intercepted_streams import _through
from tests.standin import StandIn
from tests.standin.websocket import BINARY, PING, PONG, TEXT

SESSIONS = sized(10, 100)
SECONDS = sized(8, 600)
IDLE_S = sized(8, 540)
WANTED_PER_S = 20
"""Frames of each session. A machine that does not carry so many carries as many as it can."""
LEAST_PER_S = 1.0
"""Two busy cores carry seven."""
FRAME_BYTES = 64 * 1024
OPENED_PER_S = 2.5
"""Sessions that begin to talk. What is kept of each crosses the wire in its first seconds, and the disk must
keep up with that: of a hundred that begin at once the record would hold less, and say so."""
KEPT_BYTES = 4 << 20
"""Of each direction of each session, so that the spool has room for all of them."""
TURNS_TO_RESPONSE = 20
MOST_GROWTH = SESSIONS * probe.MIB


@pytest.fixture(scope="module")
def rig(_standin_process: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    _standin_process.reset()
    home = tmp_path_factory.mktemp("heli")
    kept = {"HELI_GATEWAY__CAPTURE_MAX_BYTES": str(KEPT_BYTES)}
    with running(home, _standin_process.url, **kept) as rig:
        yield rig


async def echo_turn(session: Framed, number: int) -> None:
    """A message that comes back, now and then in fragments around a ping, or with a ping behind it."""
    payload = struct.pack(">I", number) * (FRAME_BYTES // 4)
    ping, pong = Frame(PING, b"%d" % number), Frame(PONG, b"%d" % number)
    echo = Frame(BINARY, payload)
    if number % 5 == 0:
        sent, expected = in_two(BINARY, payload, ping), [pong, echo]
    elif number % 5 == 2:
        sent, expected = [echo, ping], [echo, pong]
    else:
        sent, expected = [echo], [echo]
    await session.send(*sent)
    assert [await session.read() for _ in expected] == expected


async def realtime_turn(session: Framed, number: int) -> None:
    """Audio, which is not answered, and after some of it a response."""
    if number == 0:
        assert json.loads((await session.read()).payload)["type"] == "session.created"
    audio = f"{number:08}" * (FRAME_BYTES // 8)
    await session.send(Frame(TEXT, _json({"type": "input_audio_buffer.append", "audio": audio})))
    if number % TURNS_TO_RESPONSE == TURNS_TO_RESPONSE - 1:
        content = [{"type": "input_text", "text": f"turn {number}"}]
        item = {"type": "message", "role": "user", "content": content}
        await session.send(Frame(TEXT, _json({"type": "conversation.item.create", "item": item})))
        await session.send(Frame(TEXT, _json({"type": "response.create"})))
        events = [json.loads((await session.read()).payload)]
        while events[-1]["type"] != "response.done":
            events.append(json.loads((await session.read()).payload))
        places = [each["sequence_number"] for each in events if "sequence_number" in each]
        assert places == sorted(places)
        assert f"turn {number}" in json.dumps(events[-1])


def _json(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


KINDS = {"echo": ("/v1/echo", echo_turn), "realtime": ("/v1/realtime?model=gpt-realtime", realtime_turn)}


class Sessions:
    """All the sessions of the figure, and what the two processes hold of memory meanwhile."""

    def __init__(self, rig: Rig, context: ssl.SSLContext) -> None:
        self._rig = rig
        self._context = context
        self.turns = 0
        self.held: dict[str, list[int]] = {"interceptor": [], "gateway": []}
        """Bytes after the warm-up, and before the first session ends."""
        self.done: dict[str, Framed] = {}
        self._ready = asyncio.Barrier(SESSIONS + 1)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(SESSIONS):
                group.create_task(self._busy(number))
            group.create_task(self._look_at_memory())
            group.create_task(self._idle())

    async def _busy(self, number: int) -> None:
        kind = list(KINDS)[number % len(KINDS)]
        path, turn = KINDS[kind]
        case = f"{kind}-{number}"
        async with _through(self._rig, self._context) as streams:
            session = self.done[case] = Framed(*streams, KEPT_BYTES)
            await session.upgrade(path, case)
            await self._ready.wait()
            await asyncio.sleep(number / OPENED_PER_S)
            started, turns = time.monotonic(), 0
            while (now := time.monotonic()) < started + SECONDS:
                await asyncio.sleep(max(0.0, started + turns / WANTED_PER_S - now))
                await turn(session, turns)
                turns += 1
            self.turns += turns
            await self._ready.wait()
            await session.close(1000, f"after {turns} turns")

    async def _idle(self) -> None:
        async with _through(self._rig, self._context) as streams:
            session = Framed(*streams, KEPT_BYTES)
            await session.upgrade("/v1/echo", "idle")
            await asyncio.sleep(IDLE_S)
            await echo_turn(session, 1)
            await session.close(1000, "after a long silence")

    async def _look_at_memory(self) -> None:
        await self._ready.wait()
        await asyncio.sleep(SECONDS / 6)
        self._look()
        await self._ready.wait()
        self._look()

    def _look(self) -> None:
        self.held["interceptor"].append(probe.read(self._rig.heli.pid("intercept")).rss_bytes)
        self.held["gateway"].append(probe.read(self._rig.heli.worker()).rss_bytes)


@pytest.mark.timeout(1800)
def test_many_sessions_at_once_are_whole_in_order_and_kept_in_no_memory(rig: Rig, standin: StandIn) -> None:
    async def measure() -> Sessions:
        sessions = Sessions(rig, rig.client_tls())
        await sessions.run()
        return sessions

    sessions = asyncio.run(measure())

    carried = sessions.turns / SESSIONS / SECONDS
    grown = {name: (held[1] - held[0]) / probe.MIB for name, held in sessions.held.items()}
    print(
        f"P12: {SESSIONS} sessions of {SECONDS} s, each {carried:.1f} messages of 64 KiB a second"
        f" of {WANTED_PER_S} wanted; grown by {grown}"
    )
    assert carried >= LEAST_PER_S
    for held in sessions.held.values():
        assert held[1] - held[0] < MOST_GROWTH
    for case, session in sessions.done.items():
        (entry,) = standin.journal(f"x-case: {case}\r")
        arrived = [(each["opcode"], each["final"], each["bytes"], each["sha256"]) for each in entry["frames"]]
        assert arrived == session.frames, f"frames of {case}"
        record = wait_until(lambda case=case: _records(rig).get(case), 60, f"the record of {case}")
        _check_record(record, session)
    assert rig.metric("calls_failed_total") == 0
    assert rig.metric("own_faults_total") == 0


def _records(rig: Rig) -> dict[str, Exchange]:
    return rig.sink.by_header("x-case")


def _check_record(record: Exchange, session: Framed) -> None:
    """It holds the first bytes of both directions, and how many there were."""
    assert record.outcome is Outcome.COMPLETE
    assert record.is_websocket
    assert (record.request_body_bytes, record.response_body_bytes) == (
        session.sent.passed,
        session.received.passed,
    )
    for body, wire in ((record.request_body, session.sent), (record.response_body, session.received)):
        kept = WireCount(KEPT_BYTES)
        kept.add(body)
        assert kept.passed == min(wire.passed, KEPT_BYTES)
        assert kept.digest == wire.digest

"""What is due at the end of the loop's turn: its order, and what may come between."""

import asyncio
from typing import Any

import uvloop

from heli.proxy.gateway.connection import MOST_DUE, Outbox
from heli.proxy.gateway.counters import Counters
from heli.proxy.gateway.upstream import Pool, UpstreamConnection
from tests.proxy.gateway.running import RunningGateway, a_call


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        if self.is_aborted:
            raise RuntimeError("the connection is closed")
        self.written.append(data)

    def abort(self) -> None:
        self.is_aborted = True

    def get_extra_info(self, name: str) -> None:
        return None


class Waiting:
    """A call that waits for its reply."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.losses: list[Exception | None] = []

    def reply_received(self, data: bytes) -> None:
        self.received.append(data)

    def upstream_lost(self, error: Exception | None) -> None:
        self.losses.append(error)

    def upstream_is_full(self) -> None: ...

    def upstream_has_room(self) -> None: ...


def in_a_loop(body: Any) -> None:
    async def run() -> None:
        faults: list[str] = []
        outbox = Outbox(asyncio.get_running_loop(), faults.append)
        await body(outbox)
        assert faults == []

    uvloop.run(run())


def a_connection(outbox: Outbox) -> tuple[UpstreamConnection, Any, Any]:
    connection = UpstreamConnection(Pool(Counters(), outbox, 0.0), "https://p.example p.example:443")
    wire: Any = Wire()
    call: Any = Waiting()
    connection.connection_made(wire)
    connection.call = call
    return connection, wire, call


def test_what_is_due_goes_out_at_the_end_of_the_turn_in_order() -> None:
    async def body(outbox: Outbox) -> None:
        first, wire, _ = a_connection(outbox)
        second, other, _ = a_connection(outbox)
        first.send_soon(b"a")
        second.send_soon(b"b")
        assert (wire.written, other.written) == ([], [])
        await asyncio.sleep(0)
        assert (wire.written, other.written) == ([b"a"], [b"b"])

    in_a_loop(body)


def test_later_bytes_stand_behind_what_is_due() -> None:
    async def body(outbox: Outbox) -> None:
        connection, wire, _ = a_connection(outbox)
        connection.send_soon(b"head")
        connection.send(b" body")
        connection.send_soon(b"x" * (MOST_DUE + 1))
        connection.send_soon(b" end")
        connection.flush()
        await asyncio.sleep(0)
        assert b"".join(wire.written) == b"head body" + b"x" * (MOST_DUE + 1) + b" end"

    in_a_loop(body)


def test_what_is_due_on_an_aborted_connection_is_forgotten() -> None:
    async def body(outbox: Outbox) -> None:
        connection, wire, _ = a_connection(outbox)
        connection.send_soon(b"request")
        connection.abort()
        await asyncio.sleep(0)
        assert wire.written == []

    in_a_loop(body)


def test_bytes_before_the_request_went_out_are_no_reply_to_it() -> None:
    """A provider that gives up a resting connection may send a 408 just then."""

    async def body(outbox: Outbox) -> None:
        connection, wire, call = a_connection(outbox)
        connection.send_soon(b"request")
        connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        await asyncio.sleep(0)
        assert (call.received, call.losses) == ([], [None])
        assert (wire.written, wire.is_aborted) == ([], True)

    in_a_loop(body)


def test_bytes_that_come_as_a_reply_ends_do_not_overtake_those_before_them(gateway: RunningGateway) -> None:
    whole = a_call(b'{"model": "gpt-4o-mini", "messages": []}', path="/v1/chat/completions")
    slow = a_call(headers=('x-standin: {"delay_s": 60}',))
    with gateway.connect() as wire:
        wire.send(slow + whole[:20])
        gateway.in_loop_until(lambda: any(caller.buffer for caller in gateway.gateway.callers))

        def end_and_receive() -> None:
            (caller,) = gateway.gateway.callers
            call = caller.call
            assert call is not None
            call.caller_left(None)
            caller.call_ended(call, must_close=False)
            caller.data_received(whole[20:])  # in the same turn, before anything else is done

        gateway.in_loop(end_and_receive)
        head, _ = wire.read_reply()

    assert head.startswith(b"HTTP/1.1 200 ")

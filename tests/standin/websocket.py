"""The stand-in's side of a WebSocket (RFC 6455): the handshake, frames, and three kinds of session."""

import base64
import contextlib
import hashlib
import json
import struct
import zlib
from typing import Any

from tests.standin.asked import request_id
from tests.standin.journal import Entry
from tests.standin.replies import Call, to_json
from tests.standin.replies.openai_responses import Event, events_of, read, warm_up_of
from tests.standin.scenario import Scenario, find_scenario, pattern
from tests.standin.sending import BrokenOnPurposeError
from tests.standin.wire import Wire

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def frame(
    opcode: int, payload: bytes, *, is_final: bool = True, mask: bytes = b"", is_compressed: bool = False
) -> bytes:
    """One frame; with `mask` (four bytes) as a client sends it. `is_compressed` only sets the bit."""
    size = len(payload)
    masked = 0x80 if mask else 0
    head = bytes([(0x80 if is_final else 0) | (0x40 if is_compressed else 0) | opcode])
    if size < 126:
        head += bytes([masked | size])
    elif size < 1 << 16:
        head += bytes([masked | 126]) + struct.pack(">H", size)
    else:
        head += bytes([masked | 127]) + struct.pack(">Q", size)
    return head + mask + (apply_mask(payload, mask) if mask else payload)


def apply_mask(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    key = int.from_bytes(mask * (size // 4 + 1), "big") >> (8 * (4 - size % 4)) if size else 0
    return (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")


class Session:
    """Reads frames into the journal, answers pings and closes, hands messages to the kind of session."""

    def __init__(self, wire: Wire, call: Call, scenario: Scenario, entry: Entry) -> None:
        self._wire = wire
        self._call = call
        self._scenario = scenario
        self._entry = entry
        self._sent_messages = 0
        self._last_item: Event = {"role": "user", "content": []}
        offered = call.headers.get("sec-websocket-extensions", "")
        self._deflate = scenario.deflate if "permessage-deflate" in offered else ""
        self._deflater: Any = None
        self._inflater: Any = None

    async def run(self) -> None:
        """Until the closing handshake is done; raises when the connection breaks first."""
        protocols = self._call.headers.get("sec-websocket-protocol", "")
        chosen = f"sec-websocket-protocol: {protocols.split(',')[0].strip()}\r\n" if protocols else ""
        accept = accept_key(self._call.headers["sec-websocket-key"])
        head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        await self._wire.write(
            f"{head}sec-websocket-accept: {accept}\r\n{chosen}{self._extensions}\r\n".encode()
        )
        for number in range(self._scenario.frames):
            if number:
                await self._wire.pause(self._scenario.interval_ms / 1000)
            payload = struct.pack(">I", number) + b"".join(pattern(self._scenario.frame_bytes))
            await self._send(BINARY, payload[: max(4, self._scenario.frame_bytes)])
        if self._is_realtime:
            await self._send_event({"type": "session.created", "session": self._session({})})
        while (message := await self._next_message()) is not None:
            await self._answer(*message)

    @property
    def _extensions(self) -> str:
        if not self._deflate:
            return ""
        fresh = "; server_no_context_takeover; client_no_context_takeover" if self._deflate == "fresh" else ""
        return f"sec-websocket-extensions: permessage-deflate{fresh}\r\n"

    def _squeezed(self, payload: bytes) -> bytes:
        if self._deflater is None or self._deflate == "fresh":
            self._deflater = zlib.compressobj(wbits=-15)
        return bytes(self._deflater.compress(payload) + self._deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def _unsqueezed(self, payload: bytes) -> bytes:
        if self._inflater is None or self._deflate == "fresh":
            self._inflater = zlib.decompressobj(wbits=-15)
        return bytes(self._inflater.decompress(payload + b"\x00\x00\xff\xff"))

    @property
    def _is_realtime(self) -> bool:
        return self._call.path.endswith("/realtime")

    async def _next_message(self) -> tuple[int, bytes] | None:
        """The next text or binary message, put together; `None` once the peer closed."""
        kind, parts, is_compressed = 0, b"", False
        while True:
            first, second = await self._wire.read_exactly(2)
            size = second & 0x7F
            if size > 125:
                width = 2 if size == 126 else 8
                size = int.from_bytes(await self._wire.read_exactly(width), "big")
            mask = await self._wire.read_exactly(4) if second & 0x80 else b""
            payload = await self._wire.read_exactly(size)
            payload = apply_mask(payload, mask) if mask else payload
            opcode, is_final = first & 0x0F, bool(first & 0x80)
            digest = hashlib.sha256(payload).hexdigest()
            self._entry.frames.append({"opcode": opcode, "final": is_final, "bytes": size, "sha256": digest})
            if opcode == CLOSE:
                await self._wire.write(frame(CLOSE, payload))
                return None
            if opcode == PING:
                await self._wire.write(frame(PONG, payload))
            elif opcode != PONG:
                is_compressed = bool(first & 0x40) if opcode else is_compressed
                kind, parts = opcode or kind, parts + payload
                if is_final:
                    return kind, self._unsqueezed(parts) if is_compressed else parts

    async def _send(self, opcode: int, payload: bytes) -> None:
        scenario = self._scenario
        if scenario.drop in ("mid_body", "mid_sse") and self._sent_messages == (scenario.chunks or 2):
            await self._wire.write(frame(opcode, payload)[: max(1, len(payload) // 2)])
            await self._wire.break_with(scenario.drop_with)
            raise BrokenOnPurposeError
        if scenario.framing in ("garbage", "bad_chunk"):
            await self._wire.write(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff not a frame")
            await self._wire.break_with("fin")
            raise BrokenOnPurposeError
        squeezed = self._squeezed(payload) if self._deflate else payload
        await self._wire.write(frame(opcode, squeezed, is_compressed=bool(self._deflate)))
        self._sent_messages += 1

    async def _send_event(self, event: Event) -> None:
        await self._send(TEXT, to_json(event))

    async def _answer(self, opcode: int, payload: bytes) -> None:
        if self._scenario.stall_s:
            await self._wire.pause(self._scenario.stall_s)
        event: Any = None
        if opcode == TEXT:
            with contextlib.suppress(ValueError):
                event = json.loads(payload)
        if self._is_realtime and isinstance(event, dict):
            await self._answer_realtime(event)
        elif self._call.path.endswith("/responses") and isinstance(event, dict):
            await self._answer_responses(event)
        else:
            await self._send(opcode, payload)

    async def _answer_responses(self, event: Event) -> None:
        if event.get("type") != "response.create":
            message = f"unknown event {event.get('type')!r}"
            await self._send_event(
                {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
            )
            return
        body = event | event.get("response", {})
        call = Call(method="POST", target=self._call.target, headers={}, body=to_json(event))
        if event.get("generate") is False:
            for told in warm_up_of(read(call, body), body):
                await self._wire.pause(self._scenario.interval_ms / 1000)
                await self._send_event(told)
            return
        own = find_scenario(None, "", call.body)
        for told in events_of(read(call, body), body, self._scenario if own == Scenario() else own):
            if self._scenario.interval_ms:
                await self._wire.pause(self._scenario.interval_ms / 1000)
            await self._send_event(told)

    async def _answer_realtime(self, event: Event) -> None:
        match event.get("type"):
            case "session.update":
                await self._send_event(
                    {"type": "session.updated", "session": self._session(event["session"])}
                )
            case "conversation.item.create":
                self._last_item = event["item"]
                await self._send_event({"type": "conversation.item.created", "item": event["item"]})
            case "input_audio_buffer.append":
                pass
            case "response.create":
                await self._realtime_response(event)
            case unknown:
                error = {"type": "invalid_request_error", "message": f"unknown event {unknown!r}"}
                await self._send_event({"type": "error", "error": error})

    async def _realtime_response(self, event: Event) -> None:
        item = self._last_item
        body = {"model": "gpt-realtime", "input": [item]}
        call = Call(method="POST", target=self._call.target, headers={}, body=to_json([event, item]))
        told = events_of(read(call, body), body, self._scenario)
        for one in told:
            kind = one["type"].replace("response.completed", "response.done")
            if kind != "response.in_progress":
                await self._send_event(
                    one | {"type": kind, "event_id": f"event_{call.id}{one['sequence_number']}"}
                )

    def _session(self, update: Event) -> Event:
        identity = f"sess_{request_id(self._call.target.encode())}"
        return {"id": identity, "object": "realtime.session", "model": "gpt-realtime"} | update

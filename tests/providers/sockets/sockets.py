"""WebSocket captures by hand: frames as browsers, SDKs and servers send them, and exchanges made of them."""

import json
import zlib
from typing import Any

import msgspec

from heli.schema.exchange import ChunkTimes, Exchange
from tests.providers.exchanges import an_exchange
from tests.standin.websocket import CONTINUATION, TEXT, frame

MASK = b"\x37\xfa\x21\x3d"
DEFLATE = "permessage-deflate"


class Sender:
    """One side of a connection; with `deflate` it compresses as RFC 7692 has it."""

    def __init__(self, *, is_client: bool, deflate: bool = False, takes_over: bool = True) -> None:
        self._mask = MASK if is_client else b""
        self._deflate = deflate
        self._takes_over = takes_over
        self._compressor: Any = None

    def text(self, text: str, pieces: int = 1, between: bytes = b"") -> bytes:
        """A message in so many fragments; `between` is sent after the first of them."""
        return self.message(TEXT, text.encode(), pieces, between)

    def event(self, **fields: Any) -> bytes:
        return self.text(json.dumps(fields))

    def control(self, opcode: int, payload: bytes = b"") -> bytes:
        return frame(opcode, payload, mask=self._mask)

    def message(self, opcode: int, data: bytes, pieces: int = 1, between: bytes = b"") -> bytes:
        payload = self._squeezed(data) if self._deflate else data
        size = max(1, -(-len(payload) // pieces))
        parts = [payload[start : start + size] for start in range(0, len(payload), size)] or [b""]
        frames = [
            frame(
                CONTINUATION if number else opcode,
                part,
                is_final=number == len(parts) - 1,
                mask=self._mask,
                is_compressed=self._deflate and number == 0,
            )
            for number, part in enumerate(parts)
        ]
        return frames[0] + (between if len(frames) > 1 else b"") + b"".join(frames[1:])

    def _squeezed(self, data: bytes) -> bytes:
        if self._compressor is None or not self._takes_over:
            self._compressor = zlib.compressobj(wbits=-15)
        return bytes((self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH))[:-4])


class Capture:
    """A connection as the gateway captures it: what each side sent, and when."""

    def __init__(
        self, path: str = "/v1/responses", *, deflate: bool = False, takes_over: bool = True, **fields: Any
    ) -> None:
        self.client = Sender(is_client=True, deflate=deflate, takes_over=takes_over)
        self.server = Sender(is_client=False, deflate=deflate, takes_over=takes_over)
        self._sent: dict[bool, list[tuple[int, bytes]]] = {True: [], False: []}
        self._fields = {"path": path, **fields}
        self._extensions = ""
        if deflate:
            self._extensions = DEFLATE
            if not takes_over:
                self._extensions += "; server_no_context_takeover; client_no_context_takeover"

    def asks(self, at_ms: int, **event: Any) -> None:
        self.sends(at_ms, self.client.event(**event), is_client=True)

    def tells(self, at_ms: int, **event: Any) -> None:
        self.sends(at_ms, self.server.event(**event), is_client=False)

    def sends(self, at_ms: int, data: bytes, *, is_client: bool) -> None:
        self._sent[is_client].append((at_ms * 1000, data))

    def answers(
        self,
        at_ms: int,
        response_id: str,
        text: str = "Hi!",
        usage: dict[str, Any] | None = None,
        status: str = "completed",
        **both: Any,
    ) -> None:
        """A streamed response of the Responses API: created, a delta after 10 ms, the end after 20 ms."""
        begun = {"id": response_id, "object": "response", "status": "in_progress"}
        item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        done = begun | {"status": status, "model": "gpt-5-2025-08-07", "output": [item], "usage": usage}
        self.tells(at_ms, type="response.created", response=begun, **both)
        place = {"output_index": 0, "content_index": 0}
        self.tells(at_ms + 10, type="response.output_text.delta", delta=text, **place, **both)
        self.tells(at_ms + 20, type=f"response.{status}", response=done, **both)

    def exchange(self, **fields: Any) -> Exchange:
        asked, told = (self._body(is_client=side) for side in (True, False))
        last_us = max([at for side in self._sent.values() for at, _ in side], default=0)
        known: dict[str, Any] = {
            "method": "GET",
            "status": 101,
            "is_websocket": True,
            "request_chunks": asked[1],
            "chunks": told[1],
            "headers": {"Sec-WebSocket-Extensions": self._extensions} if self._extensions else {},
        }
        made = an_exchange(asked[0], told[0], **known | self._fields | fields)
        return _ended(made, last_us + 1000) if "end_us" not in fields else made

    def _body(self, *, is_client: bool) -> tuple[bytes, ChunkTimes]:
        sent = self._sent[is_client]
        return b"".join(data for _, data in sent), [(at_us, len(data)) for at_us, data in sent]


def _ended(exchange: Exchange, end_us: int) -> Exchange:
    return msgspec.structs.replace(exchange, end_us=end_us)


def usage(input_tokens: int, output_tokens: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """As the Responses API reports it."""
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input_tokens + output_tokens,
    }

"""The stand-in for load: canned replies, made once, no scenarios and no journal."""

import asyncio
from typing import ClassVar, cast

from tests.standin.replies import Call, make_reply, to_json
from tests.standin.scenario import Scenario

_REQUESTS = {
    b"/messages": "/v1/messages",
    b"/responses": "/v1/responses",
    b"/embeddings": "/v1/embeddings",
    b"/completions": "/v1/chat/completions",
}


def _canned(target: str, *, stream: bool) -> bytes:
    body = {
        "model": "gpt-4o-mini",
        "stream": stream,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "Say something of middling length, please. " * 8}],
        "input": "Say something of middling length, please. " * 8,
    }
    if not stream:
        del body["stream_options"]
    reply = make_reply(
        Call(method="POST", target=target, headers={}, body=to_json(body)), Scenario(chunks=20)
    )
    head = "HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
    if reply.events is None:
        return f"{head}content-length: {len(reply.body)}\r\n\r\n".encode() + reply.body
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in reply.events)
    return f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"


class FastWire(asyncio.Protocol):
    """Answers each request with the canned reply for its path, a stream when the body asks for one.

    Bodies need a length; that is what load generators send.
    """

    canned: ClassVar = {
        (ending, stream): _canned(target, stream=stream)
        for ending, target in _REQUESTS.items()
        for stream in (False, True)
    }

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: end + 4]
            at = head.lower().find(b"\r\ncontent-length:")
            size = int(head[at + 17 : head.find(b"\r\n", at + 17)]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            self._transport.write(self._reply(head[: head.find(b"\r\n")], body))

    def _reply(self, line: bytes, body: bytes) -> bytes:
        stream = b'"stream":true' in body or b'"stream": true' in body
        path = line.split(b" ", 2)[1].split(b"?", 1)[0]
        for ending in _REQUESTS:
            if path.endswith(ending):
                return self.canned[ending, stream]
        return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"

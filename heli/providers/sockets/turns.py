"""Which responses a WebSocket carried: OpenAI's Realtime, and Responses over WebSocket.

A response begins with the caller's `response.create`, or by itself where the server listens for the end of
speech. Several may be under way at once; events name their response or their stream, else they belong to the
newest. Memory is bounded: messages are read one after the other, and at most `MAX_TURNS` are told apart.
"""

import heapq
from collections.abc import Iterator
from urllib.parse import parse_qs

import msgspec

from heli.providers.json_values import Json, as_count, as_dict, as_text, decode_json, encode_json
from heli.providers.sockets.dialogue import Dialogue, audio_bytes, newest
from heli.providers.sockets.frames import FrameReader, Message, read_messages
from heli.providers.sockets.inflating import Negotiated
from heli.schema.exchange import ChunkTimes, Exchange

MAX_TURNS = 2000
MAX_TURN_BYTES = 16 * 1024 * 1024
"""Of the events of one response; what comes later is left out, but for its end."""
MAX_KEPT_BYTES = 96 * 1024 * 1024
"""The same of all responses together."""

_ENDS = frozenset(f"response.{end}" for end in ("completed", "incomplete", "failed", "done", "cancelled")) | {
    "error"
}
_STATUSES = {
    "server_error": 500,
    "rate_limit_error": 429,
    "authentication_error": 401,
    "permission_error": 403,
}
_BUSY = "conversation_already_has_active_response"


class Sided(msgspec.Struct, frozen=True, gc=False):
    """A message, and whose it is."""

    is_client: bool
    message: Message


def messages_of(exchange: Exchange, troubles: list[str]) -> Iterator[Sided]:
    """The messages of both sides in the order in which they came. What is wrong is added to `troubles`."""
    negotiated = Negotiated(exchange.response_headers)
    client = FrameReader(negotiated, from_client=True)
    server = FrameReader(negotiated, from_client=False)
    asked = read_messages(client, exchange.request_body, exchange.request_chunks)
    told = read_messages(server, exchange.response_body, exchange.response_chunks)
    streams = (
        (Sided(True, message) for message in asked),
        (Sided(False, message) for message in told),
    )
    # Of two at the same time the caller's comes first.
    yield from heapq.merge(*streams, key=lambda sided: sided.message.at_us or 0)
    for reader in (client, server):
        if reader.trouble and reader.trouble not in troubles:
            troubles.append(reader.trouble)


class Turn:
    """A response while its events are gathered."""

    def __init__(self, asked: dict[str, Json], stream: str, at_us: int | None, wire_bytes: int) -> None:
        self.asked = asked
        self.stream = stream
        self.event_id = as_text(asked.pop("event_id", ""))
        self.items: list[dict[str, Json]] | None = None
        """The conversation that it answers, where the session keeps one."""
        self.started_us = at_us or 0
        self.first_us: int | None = None
        self.ended_us: int | None = None
        self.is_ended = False
        self.is_refused = False
        """The server answered with an error in place of a response."""
        self.status: int | None = None
        self.request_bytes = wire_bytes
        self.response_bytes = 0
        self.audio_bytes = 0
        self.chunks: ChunkTimes = []
        self._events: list[bytes] = []
        self.size = 0
        """Of its events, in bytes."""

    @property
    def is_warm_up(self) -> bool:
        return self.asked.get("generate") is False

    @property
    def body(self) -> bytes:
        return b"".join(self._events)

    def add(self, kind: str, event: dict[str, Json], message: Message, room: int) -> bool:
        """Take an event, if there is room; whether it is the last one."""
        self.response_bytes += message.wire_bytes
        if kind.endswith("audio.delta"):
            size = audio_bytes(event.get("delta"))
            self.audio_bytes += size
            event = {**event, "delta": f"[{size} bytes of audio]"}
        text = encode_json(event).encode("utf-8", "replace")
        if len(text) <= min(room, MAX_TURN_BYTES - self.size) or kind in _ENDS:
            at_us = message.at_us or 0
            self._events.append(b"event: %b\ndata: %b\n\n" % (kind.encode("utf-8", "replace"), text))
            self.chunks.append((max(0, at_us - self.started_us), len(self._events[-1])))
            self.size += len(text)
            if self.first_us is None:
                self.first_us = message.at_us
        if kind in _ENDS:
            self.is_ended, self.ended_us = True, message.at_us
            self.status = _refusal_status(event) if self.is_refused else None
        return self.is_ended

    def request_body(self) -> bytes:
        body = dict(self.asked)
        if self.items is not None and "input" not in body:
            body["input"] = newest(self.items)
        return encode_json(body).encode("utf-8", "replace")


def _refusal_status(event: dict[str, Json]) -> int:
    """The HTTP status that the error tells, or amounts to."""
    status = as_count(event.get("status")) or as_count(event.get("status_code")) or 0
    if 400 <= status <= 599:
        return status
    kind = as_text(as_dict(event.get("error")).get("type"))
    return _STATUSES.get(kind, 400)


class TurnSplitter:
    """Feed it the messages of a connection in order."""

    def __init__(self, exchange: Exchange) -> None:
        path, _, query = exchange.path.partition("?")
        self.turns: list[Turn] = []
        self.overflow = 0
        """Responses beyond `MAX_TURNS`."""
        self.is_billed = False
        """The server told of usage outside of any response."""
        self.closed_by_client: bool | None = None
        """Who said goodbye first; `None` when nobody did."""
        self.is_realtime = not path.rstrip("/").endswith("/responses")
        self._dialogue = Dialogue(parse_qs(query).get("model", [""])[0])
        self._waiting: list[Turn] = []
        self._by_id: dict[str, Turn] = {}
        self._current: dict[str, Turn] = {}
        self._heard_us: int | None = None
        self._unclaimed_bytes = 0
        self._room = MAX_KEPT_BYTES

    def take(self, sided: Sided) -> None:
        message = sided.message
        if message.kind == "close" and self.closed_by_client is None:
            self.closed_by_client = sided.is_client
        if message.kind != "text":
            return
        value = decode_json(message.data)
        if not isinstance(value, dict):
            return
        kind = as_text(value.get("type"))
        if sided.is_client:
            self._client_said(kind, value, message)
        else:
            self._server_said(kind, value, message)

    def _client_said(self, kind: str, event: dict[str, Json], message: Message) -> None:
        self._unclaimed_bytes += message.wire_bytes
        if kind != "response.create":
            self._dialogue.client_said(kind, event)
            return
        nested = as_dict(event.get("response"))
        asked = {name: value for name, value in event.items() if name not in ("type", "response")} | nested
        self._begin(asked, as_text(event.get("stream_id")), message.at_us, is_asked=True)

    def _begin(self, asked: dict[str, Json], stream: str, at_us: int | None, *, is_asked: bool) -> Turn:
        turn = Turn(dict(asked), stream, at_us, self._unclaimed_bytes)
        self._unclaimed_bytes = 0
        if len(self.turns) < MAX_TURNS:
            self.turns.append(turn)
        else:
            self.overflow += 1
        if is_asked:
            self._waiting.append(turn)
        return turn

    def _server_said(self, kind: str, event: dict[str, Json], message: Message) -> None:
        if self.is_realtime:
            self._listen(kind, event, message)
        if not kind.startswith("response.") and kind != "error":
            self.is_billed = self.is_billed or bool(event.get("usage"))
            return
        response = as_dict(event.get("response"))
        stream = as_text(event.get("stream_id"))
        response_id = as_text(event.get("response_id")) or as_text(response.get("id"))
        if kind == "response.created":
            turn: Turn | None = self._created(stream, response_id, response, message)
        else:
            turn = self._by_id.get(response_id) if response_id else self._current.get(stream)
            if kind == "error" and (turn is None or self.is_realtime):
                turn = self._refused(stream, event)
        if turn is None or turn.is_ended:
            return
        before = turn.size
        if turn.add(kind, event, message, self._room):
            self._forget(turn, response_id)
        self._room -= turn.size - before

    def _listen(self, kind: str, event: dict[str, Json], message: Message) -> None:
        if kind == "input_audio_buffer.committed":
            self._heard_us = message.at_us
        turn = self._by_id.get(as_text(event.get("response_id")))
        if turn is None or turn.asked.get("conversation") != "none":
            self._dialogue.server_said(kind, event)

    def _created(self, stream: str, response_id: str, response: dict[str, Json], message: Message) -> Turn:
        turn = self._asked_for(stream, response)
        if turn is None:
            at_us = message.at_us if self._heard_us is None else self._heard_us
            turn = self._begin({}, stream, at_us, is_asked=False)
        self._heard_us = None
        self._settle(turn)
        if response_id:
            self._by_id[response_id] = turn
        self._current[stream] = turn
        return turn

    def _asked_for(self, stream: str, response: dict[str, Json]) -> Turn | None:
        """The request that the server begins to answer: of its stream, and with its metadata if they tell."""
        waiting = [turn for turn in self._waiting if turn.stream == stream]
        if self.is_realtime:
            told = response.get("metadata") or None
            waiting.sort(key=lambda turn: (turn.asked.get("metadata") or None) != told)
        if not waiting:
            return None
        self._waiting.remove(waiting[0])
        return waiting[0]

    def _refused(self, stream: str, event: dict[str, Json]) -> Turn | None:
        """The request that an error is about; `None` when it is about something else."""
        error = as_dict(event.get("error"))
        about = as_text(error.get("event_id"))
        waiting = [turn for turn in self._waiting if turn.stream == stream]
        if about:
            waiting = [turn for turn in waiting if turn.event_id == about]
        elif self.is_realtime:
            waiting = waiting[-1:] if error.get("code") == _BUSY else []
        if not waiting:
            return None
        self._waiting.remove(waiting[0])
        self._settle(waiting[0])
        waiting[0].is_refused = True
        return waiting[0]

    def _settle(self, turn: Turn) -> None:
        """What the model was given is known now."""
        if self.is_realtime:
            turn.asked = self._dialogue.settings | turn.asked
            turn.items = self._dialogue.so_far()

    def _forget(self, turn: Turn, response_id: str) -> None:
        self._by_id.pop(response_id, None)
        if self._current.get(turn.stream) is turn:
            del self._current[turn.stream]

    def finish(self) -> None:
        for turn in self._waiting:
            self._settle(turn)

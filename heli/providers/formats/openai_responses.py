"""OpenAI's responses: a list of items in, a list of items out, and streams of typed events."""

from collections.abc import Sequence

import msgspec

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.openai_usage import count_tool_items, read_usage, reported_cost
from heli.providers.formats.parts import (
    flat_text,
    media_part,
    other_part,
    text_part,
    thinking_part,
    tool_call_part,
    tool_definitions,
    tool_result_part,
)
from heli.providers.framing import Event, Stream, looks_like_sse, read_sse
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.schema.conversation import Conversation, Message, Part, PartKind

_ENDED = frozenset({"completed", "incomplete", "failed", "cancelled"})
_PENDING = frozenset({"queued", "in_progress"})


class OpenAIResponses:
    operation = "response"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        user = as_text(fields.get("user")) or as_text(fields.get("safety_identifier"))
        return Asked(model=as_text(fields.get("model")), is_streaming=fields.get("stream") is True, user=user)

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return read_sse(body) if looks_like_sse(body) else None

    def assemble(self, events: Sequence[Event]) -> Json:
        return _assemble(events)

    def begins_answer(self, event: Event) -> bool:
        kind = as_text(field(event.data, "type"))
        if kind.endswith(".delta"):
            return True
        item = field(event.data, "item", "type")
        return kind == "response.output_item.added" and item not in ("message", "reasoning")

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage")
        ledger = read_usage(usage, provider)
        tools = count_tool_items(fields.get("output")) if usage else {}
        if tools:
            ledger = msgspec.structs.replace(ledger, server_tool_uses={**ledger.server_tool_uses, **tools})
        status = as_text(fields.get("status"))
        reason = as_text(field(fields, "incomplete_details", "reason"))
        return Answer(
            model=as_text(fields.get("model")),
            usage=ledger,
            provider_usage=usage,
            finish_reason=reason or (status if status in _ENDED else ""),
            is_complete=status in _ENDED or not status,
            is_pending=status in _PENDING,
            reply_id=as_text(fields.get("id")),
            service_tier=as_text(fields.get("service_tier")),
            reported_cost_usd=reported_cost(usage),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = as_dict(request)
        given = asked.get("input")
        instructions = as_text(asked.get("instructions"))
        return Conversation(
            system=[text_part(instructions)] if instructions else [],
            messages=[Message(role="user", parts=[text_part(given)])]
            if isinstance(given, str)
            else _read_items(given),
            reply=_as_one_reply(_read_items(field(reply, "output"))),
            tools=tool_definitions(asked.get("tools")),
        )


# Streams

_GROWING = {
    "response.output_text.delta": ("content", "text"),
    "response.refusal.delta": ("content", "refusal"),
    "response.reasoning_text.delta": ("content", "text"),
    "response.reasoning_summary_text.delta": ("summary", "text"),
    "response.function_call_arguments.delta": ("", "arguments"),
    "response.mcp_call_arguments.delta": ("", "arguments"),
    "response.custom_tool_call_input.delta": ("", "input"),
    "response.text.delta": ("content", "text"),
    "response.audio_transcript.delta": ("content", "transcript"),
    "response.output_audio_transcript.delta": ("content", "transcript"),
}
"""`{event: (list of the item that grows, field that grows)}`."""


class _Items:
    """The output items of a stream while they grow."""

    def __init__(self) -> None:
        self._items: dict[int, dict[str, Json]] = {}
        self._growing: dict[tuple[int, str, int, str], list[str]] = {}
        self._whole: set[int] = set()

    def take(self, kind: str, data: dict[str, Json]) -> None:
        index = as_count(data.get("output_index")) or 0
        if kind == "response.output_item.done":
            self._items[index] = as_dict(data.get("item"))
            self._whole.add(index)
        elif kind == "response.output_item.added":
            self._items[index] = dict(as_dict(data.get("item")))
        elif kind in _GROWING:
            place, name = _GROWING[kind]
            part = as_count(data.get("content_index", data.get("summary_index"))) or 0
            self._growing.setdefault((index, place, part, name), []).append(as_text(data.get("delta")))

    def finish(self) -> list[Json]:
        """Items that came whole as they are, the others with the text that had come."""
        parts: dict[tuple[int, str], dict[int, dict[str, Json]]] = {}
        for (index, place, part, name), pieces in self._growing.items():
            if index in self._whole:
                continue
            text = "".join(pieces)
            item = self._items.setdefault(index, {"type": "message", "role": "assistant"})
            if not place:
                item[name] = text
                continue
            kind = _part_type(item, place, name)
            parts.setdefault((index, place), {})[part] = {"type": kind, name: text}
        for (index, place), grown in parts.items():
            self._items[index][place] = [grown[part] for part in sorted(grown)]
        return [self._items[index] for index in sorted(self._items)]


def _part_type(item: dict[str, Json], place: str, name: str) -> str:
    if place == "summary":
        return "summary_text"
    if item.get("type") == "reasoning":
        return "reasoning_text"
    return {"refusal": "refusal", "transcript": "output_audio"}.get(name, "output_text")


def _assemble(events: Sequence[Event]) -> Json:
    """The response that the last event holds; put together from the pieces where that one did not come."""
    reply: dict[str, Json] = {}
    items = _Items()
    is_seen = False
    for event in events:
        data = as_dict(event.data)
        kind = as_text(data.get("type"))
        response = data.get("response")
        if isinstance(response, dict):
            reply = response
        elif kind == "error":
            reply = {**reply, "error": data.get("error") or {k: v for k, v in data.items() if k != "type"}}
        else:
            items.take(kind, data)
        is_seen = is_seen or bool(data)
    if not is_seen:
        return None
    # Where nothing is stored at the provider, the last event may leave the items out.
    output = as_list(reply.get("output")) or items.finish()
    return {**reply, "output": output} if output or "error" not in reply else reply


# Messages


def _read_items(items: Json) -> list[Message]:
    return [_read_item(as_dict(item)) for item in as_list(items)]


def _as_one_reply(messages: list[Message]) -> list[Message]:
    """All items of a reply are one turn of the assistant."""
    parts = [part for message in messages for part in message.parts]
    return [Message(role="assistant", parts=parts)] if parts else []


def _read_item(item: dict[str, Json]) -> Message:
    kind = as_text(item.get("type")) or "message"
    if kind == "message":
        return Message(role=as_text(item.get("role")) or "user", parts=_content_parts(item.get("content")))
    if kind == "reasoning":
        texts = [
            as_text(field(each, "text"))
            for each in (*as_list(item.get("summary")), *as_list(item.get("content")))
        ]
        return Message(role="assistant", parts=[thinking_part("\n".join(filter(None, texts)))])
    if kind in ("function_call", "custom_tool_call", "mcp_call"):
        call_id = item.get("call_id") or item.get("id")
        part = tool_call_part(item.get("name"), item.get("arguments", item.get("input")), call_id)
        return Message(role="assistant", parts=[part])
    if kind.endswith("_call_output"):
        result = tool_result_part(flat_text(item.get("output")), item.get("call_id"))
        return Message(role="tool", parts=[result])
    if kind.endswith("_call"):
        part = tool_call_part(
            kind.removesuffix("_call"), item.get("action") or item.get("queries"), item.get("id")
        )
        return Message(role="assistant", parts=[part])
    return Message(role="assistant", parts=[other_part(item)])


def _content_parts(content: Json) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [_content_part(each) for each in as_list(content)]


def _content_part(item: Json) -> Part:
    fields = as_dict(item)
    match fields.get("type"):
        case "input_text" | "output_text" | "text":
            return text_part(as_text(fields.get("text")))
        case "refusal":
            return text_part(as_text(fields.get("refusal")))
        case "input_image":
            return media_part(PartKind.IMAGE, url=fields.get("image_url"), name=fields.get("file_id"))
        case "input_file":
            name = fields.get("filename") or fields.get("file_id")
            url = fields.get("file_url") or fields.get("file_data")
            return media_part(PartKind.FILE, url=url, name=name)
        case "input_audio" | "output_audio" | "audio":
            audio = as_dict(fields.get("input_audio"))
            part = media_part(PartKind.AUDIO, data=audio.get("data"), media_type=audio.get("format"))
            size = as_count(fields.get("audio_bytes")) or part.data_bytes
            transcript = as_text(fields.get("transcript"))
            return msgspec.structs.replace(part, text=transcript, data_bytes=size)
        case _:
            return other_part(item)

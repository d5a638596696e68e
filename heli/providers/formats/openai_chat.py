"""OpenAI's chat completions, as OpenAI and most other hosts speak it."""

from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.openai_chat_stream import JOINED, assemble_chat
from heli.providers.formats.openai_usage import read_usage, reported_cost
from heli.providers.formats.parts import (
    media_part,
    other_part,
    text_part,
    thinking_part,
    tool_call_part,
    tool_definitions,
    tool_result_part,
)
from heli.providers.framing import Event, Stream, looks_like_sse, read_sse
from heli.providers.json_values import Json, as_dict, as_list, as_text, field
from heli.schema.conversation import Conversation, Message, Part, PartKind


class OpenAIChat:
    operation = "chat"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        user = as_text(fields.get("user")) or as_text(fields.get("safety_identifier"))
        return Asked(model=as_text(fields.get("model")), is_streaming=fields.get("stream") is True, user=user)

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return read_sse(body) if looks_like_sse(body) else None

    def assemble(self, events: Sequence[Event]) -> Json:
        return assemble_chat(events)

    def begins_answer(self, event: Event) -> bool:
        for choice in as_list(field(event.data, "choices")):
            delta = as_dict(field(choice, "delta"))
            if any(delta.get(name) for name in (*JOINED, "tool_calls", "function_call", "audio")):
                return True
        return False

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        choices = as_list(fields.get("choices"))
        finish = as_text(field(choices[0], "finish_reason")) if choices else ""
        usage = find_usage(fields)
        return Answer(
            model=as_text(fields.get("model")),
            usage=read_usage(usage, provider),
            provider_usage=usage,
            finish_reason=finish,
            is_complete=bool(finish),
            reply_id=as_text(fields.get("id")),
            service_tier=as_text(fields.get("service_tier")),
            reported_cost_usd=reported_cost(usage),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = as_dict(request)
        return Conversation(
            messages=[read_message(each) for each in as_list(asked.get("messages"))],
            reply=[read_message(field(each, "message")) for each in as_list(field(reply, "choices"))],
            tools=tool_definitions(asked.get("tools") or asked.get("functions")),
        )


def find_usage(reply: dict[str, Json]) -> Json:
    """The usage object; Groq's streams hold it in `x_groq`, Moonshot's also in the choice."""
    usage = reply.get("usage") or field(reply, "x_groq", "usage")
    choices = as_list(reply.get("choices"))
    return usage or (field(choices[0], "usage") if choices else None)


def read_message(message: Json) -> Message:
    """One of OpenAI's messages, of a request or a reply."""
    fields = as_dict(message)
    role = as_text(fields.get("role")) or "assistant"
    content = fields.get("content")
    if role in ("tool", "function"):
        result = tool_result_part(content, fields.get("tool_call_id"), fields.get("name"))
        return Message(role="tool", parts=[result])
    parts: list[Part] = []
    thinking = as_text(fields.get("reasoning_content")) or as_text(fields.get("reasoning"))
    if thinking:
        parts.append(thinking_part(thinking))
    parts += _content_parts(content)
    if refusal := as_text(fields.get("refusal")):
        parts.append(text_part(refusal))
    if audio := as_dict(fields.get("audio")):
        parts.append(_audio_part(audio))
    parts += _call_parts(fields)
    return Message(role=role, parts=parts)


def _call_parts(message: dict[str, Json]) -> list[Part]:
    parts = []
    for each in as_list(message.get("tool_calls")):
        call = as_dict(each)
        function = as_dict(call.get("function") or call.get("custom"))
        arguments = function.get("arguments", function.get("input"))
        parts.append(tool_call_part(function.get("name"), arguments, call.get("id")))
    if function := as_dict(message.get("function_call")):
        parts.append(tool_call_part(function.get("name"), function.get("arguments")))
    return parts


def _content_parts(content: Json) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [_content_part(each) for each in as_list(content)]


def _content_part(item: Json) -> Part:
    if isinstance(item, str):
        return text_part(item)
    fields = as_dict(item)
    match fields.get("type"):
        case "text" | "input_text" | "output_text":
            return text_part(as_text(fields.get("text")))
        case "refusal":
            return text_part(as_text(fields.get("refusal")))
        case "thinking":  # Mistral's magistral: a list of text items
            inner = [as_text(field(each, "text")) for each in as_list(fields.get("thinking"))]
            return thinking_part("".join(inner) or as_text(fields.get("thinking")))
        case "image_url":
            image = fields.get("image_url")
            return media_part(PartKind.IMAGE, url=image if isinstance(image, str) else field(image, "url"))
        case "input_audio":
            audio = as_dict(fields.get("input_audio"))
            kind = as_text(audio.get("format"))
            return media_part(PartKind.AUDIO, data=audio.get("data"), media_type=kind and f"audio/{kind}")
        case "file":
            file = as_dict(fields.get("file"))
            name = file.get("filename") or file.get("file_id")
            return media_part(PartKind.FILE, url=file.get("file_data"), name=name)
        case _:
            return other_part(item)


def _audio_part(audio: dict[str, Json]) -> Part:
    return Part(
        kind=PartKind.AUDIO,
        text=as_text(audio.get("transcript")),
        data_bytes=len(as_text(audio.get("data"))) or None,
    )

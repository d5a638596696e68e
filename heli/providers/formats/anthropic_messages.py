"""Anthropic's messages: content blocks, and streams whose counts are cumulative."""

from collections.abc import Sequence
from decimal import Decimal

from heli.providers.formats.anthropic_stream import assemble_message
from heli.providers.formats.anthropic_usage import US_ONLY, declined_silently, read_parts, read_usage
from heli.providers.formats.format import Answer, Asked
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
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.schema.conversation import Conversation, Message, Part, PartKind

_DECLINED = "a model declined before it said anything, which is not always billed"
"""By the category of the refusal (platform.claude.com, Refusals and fallback)."""


class AnthropicMessages:
    operation = "chat"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        return Asked(
            model=as_text(fields.get("model")),
            is_streaming=fields.get("stream") is True or "streamRawPredict" in path,
            user=as_text(field(fields, "metadata", "user_id")),
        )

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return read_sse(body) if looks_like_sse(body) else None

    def assemble(self, events: Sequence[Event]) -> Json:
        return assemble_message(events)

    def begins_answer(self, event: Event) -> bool:
        match field(event.data, "type"):
            case "content_block_delta":
                return True
            case "content_block_start":
                return field(event.data, "content_block", "type") not in ("text", "thinking")
            case _:
                return False

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage")
        stop = as_text(fields.get("stop_reason"))
        parts = read_parts(usage)
        is_silent = (stop == "refusal" and not fields.get("content")) or declined_silently(usage)
        return Answer(
            model=as_text(fields.get("model")),
            usage=read_usage(usage),
            provider_usage=usage,
            finish_reason=stop,
            is_complete=bool(stop),
            reply_id=as_text(fields.get("id")),
            service_tier=as_text(field(usage, "service_tier")),
            speed=as_text(field(usage, "speed")),
            price_factor=US_ONLY if field(usage, "inference_geo") == "us" else Decimal(1),
            doubt=_DECLINED if is_silent else "",
            billed=tuple(parts) if len(parts) > 1 else (),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = as_dict(request)
        answer = as_dict(reply)
        content = as_list(answer.get("content"))
        return Conversation(
            system=_parts(asked.get("system")),
            messages=[_message(each) for each in as_list(asked.get("messages"))],
            reply=[Message(role="assistant", parts=_parts(content))] if content else [],
            tools=tool_definitions(asked.get("tools")),
        )


def _message(message: Json) -> Message:
    fields = as_dict(message)
    parts = _parts(fields.get("content"))
    role = as_text(fields.get("role"))
    if parts and all(part.kind is PartKind.TOOL_RESULT for part in parts):
        role = "tool"
    return Message(role=role, parts=parts)


def _parts(content: Json) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [_part(each) for each in as_list(content)]


def _part(block: Json) -> Part:
    fields = as_dict(block)
    match fields.get("type"):
        case "text":
            return text_part(as_text(fields.get("text")))
        case "thinking":
            return thinking_part(as_text(fields.get("thinking")))
        case "redacted_thinking":
            return thinking_part("")
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            arguments = fields.get("partial_json") or fields.get("input")
            return tool_call_part(fields.get("name"), arguments, fields.get("id"))
        case "tool_result" | "mcp_tool_result":
            failed = fields.get("is_error") is True
            return tool_result_part(fields.get("content"), fields.get("tool_use_id"), is_error=failed)
        case "image":
            return _media(PartKind.IMAGE, fields)
        case "document":
            return _media(PartKind.FILE, fields)
        case _:
            return other_part(block)


def _media(kind: PartKind, fields: dict[str, Json]) -> Part:
    source = as_dict(fields.get("source"))
    return media_part(
        kind,
        url=source.get("url"),
        data=source.get("data"),
        media_type=source.get("media_type"),
        name=fields.get("title") or source.get("file_id"),
    )


class AnthropicCountTokens(AnthropicMessages):
    """How many tokens a message would have: free of charge, and no model runs."""

    operation = "count_tokens"
    is_free = True

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields if as_count(fields.get("input_tokens")) is not None else None
        return Answer(provider_usage=usage)

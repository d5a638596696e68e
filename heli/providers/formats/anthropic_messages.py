"""Anthropic's messages: content blocks, and streams whose counts are cumulative."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

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
from heli.providers.json_values import (
    Json,
    Unreadable,
    as_count,
    as_dict,
    as_list,
    as_text,
    decode_json,
    field,
)
from heli.providers.usage_ledger import minus, positive
from heli.schema.conversation import Conversation, Message, Part, PartKind
from heli.schema.usage import Usage

_US_ONLY = Decimal("1.1")
"""Inference that is kept in the US costs a tenth more (platform.claude.com, Data residency)."""


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
        return _assemble(events)

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
        return Answer(
            model=as_text(fields.get("model")),
            usage=read_usage(usage),
            provider_usage=usage,
            finish_reason=stop,
            is_complete=bool(stop),
            reply_id=as_text(fields.get("id")),
            service_tier=as_text(field(usage, "service_tier")),
            speed=as_text(field(usage, "speed")),
            price_factor=_US_ONLY if field(usage, "inference_geo") == "us" else Decimal(1),
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


def read_usage(usage: Json) -> Usage:
    """`input_tokens` excludes the cache, `output_tokens` includes thinking; newer replies tell it apart."""
    fields = as_dict(usage)
    if not fields:
        return Usage()
    write_5m, write_1h = _cache_writes(fields)
    thinking = as_count(field(fields, "output_tokens_details", "thinking_tokens"))
    counts = [_Counts(fields, write_5m, write_1h)]
    # What a compaction step used is billed, but is not in the totals of the message.
    counts += [
        _Counts(as_dict(step), *_cache_writes(as_dict(step)))
        for step in as_list(fields.get("iterations"))
        if field(step, "type") == "compaction"
    ]
    return Usage(
        input_tokens=_sum(each.input for each in counts),
        cache_read_tokens=_sum(each.cache_read for each in counts),
        cache_write_5m_tokens=_sum(each.write_5m for each in counts),
        cache_write_1h_tokens=_sum(each.write_1h for each in counts),
        output_tokens=minus(_sum(each.output for each in counts), thinking),
        reasoning_tokens=thinking,
        server_tool_uses=_server_tools(fields.get("server_tool_use")),
    )


class _Counts:
    """One step's counts."""

    def __init__(self, fields: dict[str, Json], write_5m: int | None, write_1h: int | None) -> None:
        self.input = as_count(fields.get("input_tokens"))
        self.output = as_count(fields.get("output_tokens"))
        self.cache_read = as_count(fields.get("cache_read_input_tokens"))
        self.write_5m = write_5m
        self.write_1h = write_1h


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _cache_writes(fields: dict[str, Json]) -> tuple[int | None, int | None]:
    """Writes for 5 minutes and for an hour; what is not split was written for 5 minutes, the default."""
    total = as_count(fields.get("cache_creation_input_tokens"))
    write_5m = as_count(field(fields, "cache_creation", "ephemeral_5m_input_tokens"))
    write_1h = as_count(field(fields, "cache_creation", "ephemeral_1h_input_tokens"))
    if write_5m is None and write_1h is None:
        return total, None
    if total is not None:
        write_5m = max(write_5m or 0, total - (write_1h or 0))
    return write_5m, write_1h


def _server_tools(uses: Json) -> dict[str, int]:
    """`{web_search_requests: 2}` as `{web_search: 2}`."""
    counts = {
        name.removesuffix("_requests"): positive(as_count(count)) for name, count in as_dict(uses).items()
    }
    return {tool: count for tool, count in counts.items() if count}


# Streams

_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""`{type of delta: its field}` for deltas that continue each other."""


def _assemble(events: Sequence[Event]) -> Json:
    """The events as one message. An `error` event inside of the stream becomes its `error` field."""
    message: dict[str, Json] = {}
    blocks: dict[int, dict[str, Json]] = {}
    growing: dict[tuple[int, str], list[Json]] = {}
    for event in events:
        data = as_dict(event.data)
        match data.get("type"):
            case "content_block_delta":
                _take_delta(as_dict(data.get("delta")), _index(data), blocks, growing)
            case "content_block_start":
                blocks[_index(data)] = dict(as_dict(data.get("content_block")))
            case "message_start":
                message.update(as_dict(data.get("message")))
            case "message_delta":
                _take_message_delta(message, data)
            case "error":
                message.setdefault("type", "error")
                message["error"] = data.get("error")
    if not message and not blocks:
        return None
    for (index, name), pieces in growing.items():
        _set_grown(blocks.setdefault(index, {}), name, pieces)
    if message.get("type") != "error" or blocks:
        message["content"] = [blocks[index] for index in sorted(blocks)]
    return message


def _index(data: dict[str, Json]) -> int:
    return as_count(data.get("index")) or 0


def _take_delta(
    delta: dict[str, Json],
    index: int,
    blocks: dict[int, dict[str, Json]],
    growing: dict[tuple[int, str], list[Json]],
) -> None:
    kind = delta.get("type")
    name = _GROWING.get(kind) if isinstance(kind, str) else None
    if name:
        growing.setdefault((index, name), []).append(as_text(delta.get(name)))
    elif kind == "citations_delta":
        growing.setdefault((index, "citations"), []).append(delta.get("citation"))
    else:  # a signature, or what is new
        block = blocks.setdefault(index, {})
        block.update({key: value for key, value in delta.items() if key != "type"})


def _set_grown(block: dict[str, Json], name: str, pieces: list[Json]) -> None:
    if name == "citations":
        block[name] = [*as_list(block.get(name)), *pieces]
        return
    text = "".join(pieces)
    if name != "partial_json":
        block.setdefault("type", name)
        block[name] = as_text(block.get(name)) + text
        return
    block.setdefault("type", "tool_use")
    value = decode_json(text.encode()) if text else {}
    if isinstance(value, Unreadable):
        block["partial_json"] = text  # the stream broke off in the middle of the arguments
    else:
        block["input"] = value


def _take_message_delta(message: dict[str, Json], data: dict[str, Json]) -> None:
    message.update(as_dict(data.get("delta")))
    if "context_management" in data:
        message["context_management"] = data["context_management"]
    usage = dict(as_dict(message.get("usage")))
    usage.update({name: value for name, value in as_dict(data.get("usage")).items() if value is not None})
    if usage:
        message["usage"] = usage


# Messages


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

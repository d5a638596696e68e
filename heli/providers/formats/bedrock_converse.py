"""Bedrock's Converse: one shape for the models of all vendors. Amazon's Nova takes it when invoked, too."""

from collections.abc import Sequence

from heli.providers.event_stream import looks_like_event_stream, read_event_stream
from heli.providers.formats.bedrock_usage import INVOCATION_METRICS, read_invocation_metrics, read_usage
from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.parts import (
    media_part,
    other_part,
    text_part,
    thinking_part,
    tool_call_part,
    tool_result_part,
)
from heli.providers.framing import Event, Stream
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
from heli.schema.conversation import Conversation, Message, Part, PartKind, ToolDefinition


class BedrockConverse:
    """`converse`, and `converse-stream` as a binary event stream."""

    operation = "chat"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        return Asked(is_streaming=path.partition("?")[0].endswith("-stream"))

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return read_event_stream(body) if looks_like_event_stream(body, content_type) else None

    def assemble(self, events: Sequence[Event]) -> Json:
        return _assemble(events)

    def begins_answer(self, event: Event) -> bool:
        name, data = _named(event)
        if name == "contentBlockStart":
            return bool(field(data, "start", "toolUse"))
        return name == "contentBlockDelta" and bool(as_dict(data.get("delta")))

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage")
        stop = as_text(fields.get("stopReason"))
        metrics = fields.get(INVOCATION_METRICS)
        latency = as_text(field(fields, "performanceConfig", "latency"))
        return Answer(
            # An intelligent prompt router tells which model it chose.
            model=as_text(field(fields, "trace", "promptRouter", "invokedModelId")),
            usage=read_usage(usage) if as_dict(usage) else read_invocation_metrics(metrics),
            provider_usage=usage or metrics,
            finish_reason=stop,
            is_complete=bool(stop),
            service_tier=as_text(field(fields, "serviceTier", "type")),
            speed=latency if latency == "optimized" else "",
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = as_dict(request)
        message = as_dict(field(reply, "output", "message"))
        return Conversation(
            system=_parts(asked.get("system")),
            messages=[_message(each) for each in as_list(asked.get("messages"))],
            reply=[_message(message)] if as_list(message.get("content")) else [],
            tools=_tools(field(asked, "toolConfig", "tools")),
        )


# Streams


def _named(event: Event) -> tuple[str, dict[str, Json]]:
    """The event's name and content. Converse names the frame, an invoked Nova wraps what it holds."""
    data = as_dict(event.data)
    for name in _EVENTS:
        if isinstance(data.get(name), dict):
            return name, data[name]
    return event.name, data


_EVENTS = (
    "contentBlockDelta",
    "contentBlockStart",
    "contentBlockStop",
    "messageStart",
    "messageStop",
    "metadata",
)


class _Block:
    """One content block while it grows."""

    def __init__(self) -> None:
        self.start: dict[str, Json] = {}
        self.pieces: dict[str, list[str]] = {}
        self.rest: list[Json] = []

    def take(self, delta: dict[str, Json]) -> None:
        reasoning = as_dict(delta.get("reasoningContent"))
        for name, text in (
            ("text", delta.get("text")),
            ("input", field(delta, "toolUse", "input")),
            ("reasoning", reasoning.get("text")),
            ("signature", reasoning.get("signature")),
        ):
            if isinstance(text, str):
                self.pieces.setdefault(name, []).append(text)
        if reasoning.get("redactedContent"):
            self.rest.append({"reasoningContent": {"redactedContent": reasoning["redactedContent"]}})

    def finish(self) -> list[Json]:
        grown = {name: "".join(pieces) for name, pieces in self.pieces.items()}
        blocks: list[Json] = list(self.rest)
        if "reasoning" in grown or "signature" in grown:
            text: dict[str, Json] = {"text": grown.get("reasoning", "")}
            if "signature" in grown:
                text["signature"] = grown["signature"]
            blocks.append({"reasoningContent": {"reasoningText": text}})
        if "text" in grown:
            blocks.append({"text": grown["text"]})
        tool = as_dict(self.start.get("toolUse"))
        if tool or "input" in grown:
            arguments = grown.get("input", "")
            value = decode_json(arguments.encode()) if arguments else {}
            # Arguments that broke off in the middle stay the text that they are.
            blocks.append(
                {"toolUse": {**tool, "input": arguments if isinstance(value, Unreadable) else value}}
            )
        return blocks


def _assemble(events: Sequence[Event]) -> Json:
    """The events as the reply of `converse`; an exception inside of the stream becomes its `error`."""
    reply: dict[str, Json] = {}
    blocks: dict[int, _Block] = {}
    role = "assistant"
    for event in events:
        name, data = _named(event)
        match name:
            case "contentBlockDelta":
                blocks.setdefault(_index(data), _Block()).take(as_dict(data.get("delta")))
            case "contentBlockStart":
                blocks.setdefault(_index(data), _Block()).start = as_dict(data.get("start"))
            case "messageStart":
                role = as_text(data.get("role")) or role
            case "messageStop":
                reply.update({key: value for key, value in data.items() if key != "p"})
            case "metadata":
                reply.update({key: value for key, value in data.items() if key != "p"})
            case "error":
                reply["error"] = data.get("error")
        if isinstance(event.data, dict) and INVOCATION_METRICS in event.data:
            reply[INVOCATION_METRICS] = event.data[INVOCATION_METRICS]
    content = [block for index in sorted(blocks) for block in blocks[index].finish()]
    if content or (reply and "error" not in reply):
        reply["output"] = {"message": {"role": role, "content": content}}
    return reply or None


def _index(data: dict[str, Json]) -> int:
    return as_count(data.get("contentBlockIndex")) or 0


# Messages


def _message(message: Json) -> Message:
    fields = as_dict(message)
    parts = _parts(fields.get("content"))
    role = as_text(fields.get("role")) or "assistant"
    if parts and all(part.kind is PartKind.TOOL_RESULT for part in parts):
        role = "tool"
    return Message(role=role, parts=parts)


def _parts(content: Json) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [part for each in as_list(content) if (part := _part(as_dict(each)))]


_MEDIA = {"image": PartKind.IMAGE, "document": PartKind.FILE, "video": PartKind.FILE, "audio": PartKind.AUDIO}


def _part(fields: dict[str, Json]) -> Part | None:
    if isinstance(text := fields.get("text"), str):
        return text_part(text)
    if call := as_dict(fields.get("toolUse")):
        return tool_call_part(call.get("name"), call.get("input"), call.get("toolUseId"))
    if result := as_dict(fields.get("toolResult")):
        failed = result.get("status") == "error"
        content = _plain_result(result.get("content"))
        return tool_result_part(content, result.get("toolUseId"), is_error=failed)
    if "reasoningContent" in fields:
        return thinking_part(as_text(field(fields, "reasoningContent", "reasoningText", "text")))
    for name, kind in _MEDIA.items():
        if media := as_dict(fields.get(name)):
            source = as_dict(media.get("source"))
            url = field(source, "s3Location", "uri")
            form = as_text(media.get("format"))
            return media_part(
                kind, url=url, data=source.get("bytes"), media_type=form, name=media.get("name")
            )
    if fields.keys() <= {"cachePoint"}:
        return None  # a mark for the cache, no content
    return other_part(fields)


def _plain_result(content: Json) -> Json:
    """A single JSON result without its wrapping."""
    items = as_list(content)
    only = as_dict(items[0]) if len(items) == 1 else {}
    return only.get("json", content)


def _tools(tools: Json) -> list[ToolDefinition]:
    found = []
    for tool in as_list(tools):
        fields = as_dict(field(tool, "toolSpec"))
        if name := as_text(fields.get("name")):
            description = as_text(fields.get("description"))
            parameters = field(fields, "inputSchema", "json")
            found.append(ToolDefinition(name=name, description=description, parameters=parameters))
    return found

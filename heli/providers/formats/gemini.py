"""Google's Gemini API, on AI Studio and on Vertex, and as its coding assistant wraps it."""

from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.gemini_usage import count_searches, read_usage
from heli.providers.formats.parts import (
    media_part,
    other_part,
    text_part,
    thinking_part,
    tool_call_part,
    tool_result_part,
)
from heli.providers.framing import Event, Stream, looks_like_sse, read_json_array, read_sse
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, encode_json, field
from heli.schema.conversation import Conversation, Message, Part, PartKind, ToolDefinition

_TRAFFIC_TIERS = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}
_PROVISIONED = "provisioned throughput pays for it: this is the price on demand"


class GeminiGenerate:
    """`generateContent`, and `streamGenerateContent` as server-sent events or as one JSON array."""

    operation = "chat"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        model = as_text(field(request, "model")).removeprefix("models/")
        labels = as_dict(_inner(request, "request").get("labels"))
        return Asked(
            model=model,
            is_streaming=":streamGenerateContent" in path,
            user=as_text(labels.get("user")),
        )

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        if looks_like_sse(body):
            return read_sse(body)
        return read_json_array(body) if body[:16].lstrip().startswith(b"[") else None

    def assemble(self, events: Sequence[Event]) -> Json:
        return _assemble(events)

    def begins_answer(self, event: Event) -> bool:
        candidates = as_list(_inner(event.data, "response").get("candidates"))
        return any(as_list(field(candidate, "content", "parts")) for candidate in candidates)

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = _inner(reply, "response")
        candidates = as_list(fields.get("candidates"))
        finish = as_text(field(candidates[0], "finishReason")) if candidates else ""
        finish = finish or as_text(field(fields, "promptFeedback", "blockReason"))
        usage = fields.get("usageMetadata")
        model = as_text(fields.get("modelVersion"))
        traffic = as_text(field(usage, "trafficType"))  # Vertex's word for the tier
        return Answer(
            model=model,
            usage=read_usage(usage, count_searches(candidates, model)),
            provider_usage=usage,
            finish_reason=finish,
            is_complete=bool(finish),
            reply_id=as_text(fields.get("responseId")),
            service_tier=as_text(field(usage, "serviceTier")).lower() or _TRAFFIC_TIERS.get(traffic, ""),
            doubt=_PROVISIONED if traffic == "PROVISIONED_THROUGHPUT" else "",
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = _inner(request, "request")
        answer = _inner(reply, "response")
        system = asked.get("systemInstruction") or asked.get("system_instruction")
        return Conversation(
            system=_parts(system),
            messages=[read_content(each) for each in _contents(asked.get("contents"))],
            reply=[
                Message(role="assistant", parts=_parts(field(candidate, "content")))
                for candidate in as_list(answer.get("candidates"))
            ],
            tools=_tools(asked.get("tools")),
        )


class GeminiCountTokens(GeminiGenerate):
    """`countTokens`: free of charge, and no model runs."""

    operation = "count_tokens"
    is_free = True

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        return Answer(provider_usage=fields if as_count(fields.get("totalTokens")) is not None else None)

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        wrapped = field(request, "generateContentRequest")
        return super().read_conversation(wrapped if isinstance(wrapped, dict) else request, None)


class GeminiEmbed(GeminiGenerate):
    """`embedContent` and `batchEmbedContents`, whose replies seldom count tokens."""

    operation = "embedding"

    def read_answer(self, reply: Json, provider: str) -> Answer:
        usage = field(reply, "usageMetadata")
        return Answer(usage=read_usage(usage, 0), provider_usage=usage)

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = as_list(field(request, "requests")) or [request]
        return Conversation(messages=[read_content(field(each, "content")) for each in asked])


def _inner(value: Json, wrapper: str) -> dict[str, Json]:
    """The object itself; what the coding assistant wraps lies one level deeper."""
    fields = as_dict(value)
    inner = fields.get(wrapper)
    return inner if isinstance(inner, dict) else fields


# Streams


def _assemble(events: Sequence[Event]) -> Json:
    """The chunks as one reply: parts in a row, running text joined, the newest of everything else."""
    reply: dict[str, Json] = {}
    candidates: dict[int, _Candidate] = {}
    for event in events:
        for name, value in _inner(event.data, "response").items():
            if name == "candidates":
                for position, each in enumerate(as_list(value)):
                    index = as_count(field(each, "index"))
                    index = position if index is None else index
                    candidates.setdefault(index, _Candidate()).take(as_dict(each))
            elif name == "usageMetadata":
                reply[name] = {**as_dict(reply.get(name)), **as_dict(value)}
            else:
                reply[name] = value
    if candidates:
        reply["candidates"] = [candidates[index].finish() for index in sorted(candidates)]
    return reply or None


class _Candidate:
    """One candidate while it grows."""

    def __init__(self) -> None:
        self._fields: dict[str, Json] = {}
        self._role = "model"
        self._parts: list[Json] = []
        self._texts: list[str] = []
        self._is_thought = False

    def take(self, candidate: dict[str, Json]) -> None:
        self._fields.update({name: value for name, value in candidate.items() if name != "content"})
        content = as_dict(candidate.get("content"))
        self._role = as_text(content.get("role")) or self._role
        for part in as_list(content.get("parts")):
            self._take_part(part)

    def _take_part(self, part: Json) -> None:
        fields = as_dict(part)
        is_thought = fields.get("thought") is True
        is_plain = isinstance(fields.get("text"), str) and fields.keys() <= {"text", "thought"}
        if self._texts and (not is_plain or is_thought != self._is_thought):
            self._end_text()
        if is_plain:
            self._texts.append(fields["text"])
            self._is_thought = is_thought
        else:
            self._parts.append(part)

    def _end_text(self) -> None:
        part: dict[str, Json] = {"text": "".join(self._texts)}
        if self._is_thought:
            part["thought"] = True
        self._parts.append(part)
        self._texts = []

    def finish(self) -> dict[str, Json]:
        if self._texts:
            self._end_text()
        return {**self._fields, "content": {"role": self._role, "parts": self._parts}}


# Messages


def _contents(contents: Json) -> list[Json]:
    """The contents; the SDKs' short form is one text or one object."""
    return contents if isinstance(contents, list) else [contents] if contents else []


def read_content(content: Json) -> Message:
    """One of Gemini's contents."""
    if isinstance(content, str):
        return Message(role="user", parts=[text_part(content)])
    parts = _parts(content)
    role = as_text(field(content, "role")) or "user"
    if parts and all(part.kind is PartKind.TOOL_RESULT for part in parts):
        role = "tool"
    return Message(role="assistant" if role == "model" else role, parts=parts)


def _parts(content: Json) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)]
    return [_part(as_dict(each)) for each in as_list(field(content, "parts"))]


def _part(fields: dict[str, Json]) -> Part:
    if isinstance(text := fields.get("text"), str):
        return thinking_part(text) if fields.get("thought") is True else text_part(text)
    if call := as_dict(fields.get("functionCall")):
        return tool_call_part(call.get("name"), call.get("args"), call.get("id"))
    if result := as_dict(fields.get("functionResponse")):
        return tool_result_part(encode_json(result.get("response")), result.get("id"), result.get("name"))
    inline = as_dict(fields.get("inlineData") or fields.get("inline_data"))
    if inline:
        media_type = inline.get("mimeType") or inline.get("mime_type")
        return media_part(_media_kind(as_text(media_type)), data=inline.get("data"), media_type=media_type)
    file = as_dict(fields.get("fileData") or fields.get("file_data"))
    if file:
        media_type = file.get("mimeType") or file.get("mime_type")
        url = file.get("fileUri") or file.get("file_uri")
        return media_part(_media_kind(as_text(media_type)), url=url, media_type=media_type)
    return other_part(fields)


def _media_kind(media_type: str) -> PartKind:
    kinds = {"image": PartKind.IMAGE, "audio": PartKind.AUDIO}
    return kinds.get(media_type.split("/", 1)[0], PartKind.FILE)


def _tools(tools: Json) -> list[ToolDefinition]:
    found = []
    for tool in as_list(tools):
        declared = field(tool, "functionDeclarations") or field(tool, "function_declarations")
        for each in as_list(declared):
            function = as_dict(each)
            name = as_text(function.get("name"))
            description = as_text(function.get("description"))
            parameters = function.get("parameters", function.get("parametersJsonSchema"))
            found.append(ToolDefinition(name=name, description=description, parameters=parameters))
    return found

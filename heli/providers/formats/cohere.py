"""Cohere: chat in its first and second version, embeddings and reranking.

What is billed stands in `billed_units`; `tokens` counts the model's template as well. The ledger holds what
is billed.
"""

from collections.abc import Sequence

from heli.providers.formats.cohere_stream import assemble_v1, assemble_v2
from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.openai_chat import read_message
from heli.providers.formats.openai_completions import texts_of
from heli.providers.formats.parts import text_part, thinking_part, tool_call_part, tool_definitions
from heli.providers.framing import Event, Stream, looks_like_sse, read_json_lines, read_sse
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.providers.usage_ledger import first_count, split_totals
from heli.schema.conversation import Conversation, Message, ToolDefinition
from heli.schema.usage import Usage


class CohereChat:
    """`/v2/chat`, and `/v1/chat`, whose streams are lines of JSON."""

    operation = "chat"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        return Asked(model=as_text(fields.get("model")), is_streaming=fields.get("stream") is True)

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        if looks_like_sse(body):
            return read_sse(body)
        if b"stream+json" in content_type or body[:64].lstrip().startswith(
            (b'{"is_finished"', b'{"event_type"')
        ):
            return read_json_lines(body)
        return None

    def assemble(self, events: Sequence[Event]) -> Json:
        is_first = any("event_type" in as_dict(event.data) for event in events[:2])
        return assemble_v1(events) if is_first else assemble_v2(events)

    def begins_answer(self, event: Event) -> bool:
        kind = field(event.data, "event_type") or field(event.data, "type")
        return as_text(kind) in _BEGINNINGS

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = _usage_object(fields)
        finish = as_text(fields.get("finish_reason"))
        return Answer(
            usage=_read_usage(usage),
            provider_usage=usage,
            finish_reason=finish,
            is_complete=bool(finish),
            reply_id=as_text(fields.get("id")) or as_text(fields.get("generation_id")),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = as_dict(request)
        answer = as_dict(reply)
        message = answer.get("message")
        spoken = _read_reply(as_dict(message)) if isinstance(message, dict) else _read_first_reply(answer)
        return Conversation(
            system=[text_part(text)] if (text := as_text(asked.get("preamble"))) else [],
            messages=_read_asked(asked),
            reply=[spoken] if spoken.parts else [],
            tools=_read_tools(asked.get("tools")),
        )


_BEGINNINGS = frozenset(
    {
        "text-generation",
        "tool-calls-chunk",
        "tool-calls-generation",
        "content-delta",
        "tool-plan-delta",
        "tool-call-start",
    }
)


def _usage_object(reply: dict[str, Json]) -> Json:
    return reply.get("usage") or reply.get("meta")


def _read_usage(usage: Json) -> Usage:
    billed = as_dict(field(usage, "billed_units")) or as_dict(field(usage, "tokens"))
    units = {
        unit: count
        for name, unit in (("search_units", "search_units"), ("classifications", "classifications"))
        if (count := as_count(billed.get(name)))
    }
    total_input = as_count(billed.get("input_tokens"))
    cached = first_count(usage, "cached_tokens")
    return split_totals(
        total_input=total_input,
        # The cache may hold tokens of the template, which are not billed.
        cache_read=min(cached, total_input) if cached and total_input is not None else cached,
        total_output=as_count(billed.get("output_tokens")),
        server_tool_uses=units,
    )


def _read_reply(message: dict[str, Json]) -> Message:
    """The second version's: content items, and what the model means to do with its tools."""
    said = read_message({**message, "role": "assistant"})
    plan = as_text(message.get("tool_plan"))
    return Message(role="assistant", parts=[thinking_part(plan), *said.parts] if plan else said.parts)


def _read_first_reply(reply: dict[str, Json]) -> Message:
    text = as_text(reply.get("text"))
    parts = [text_part(text)] if text else []
    parts += [
        tool_call_part(field(each, "name"), field(each, "parameters"))
        for each in as_list(reply.get("tool_calls"))
    ]
    return Message(role="assistant", parts=parts)


_ROLES = {"CHATBOT": "assistant", "USER": "user", "SYSTEM": "system", "TOOL": "tool"}


def _read_asked(asked: dict[str, Json]) -> list[Message]:
    if isinstance(asked.get("messages"), list):
        return [read_message(each) for each in as_list(asked["messages"])]
    messages = []
    for each in as_list(asked.get("chat_history")):
        role = as_text(field(each, "role"))
        messages.append(
            Message(role=_ROLES.get(role.upper(), role), parts=[text_part(as_text(field(each, "message")))])
        )
    if text := as_text(asked.get("message")):
        messages.append(Message(role="user", parts=[text_part(text)]))
    return messages


def _read_tools(tools: Json) -> list[ToolDefinition]:
    """The first version calls the parameters `parameter_definitions`."""
    return tool_definitions(
        [
            {**as_dict(tool), "parameters": field(tool, "parameter_definitions")}
            if field(tool, "parameter_definitions")
            else tool
            for tool in as_list(tools)
        ]
    )


class CohereEmbed:
    """Embeddings: texts or images in, vectors out."""

    operation = "embedding"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        return Asked(model=as_text(field(request, "model")))

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return None

    def assemble(self, events: Sequence[Event]) -> Json:
        return None

    def begins_answer(self, event: Event) -> bool:
        return False

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        billed = as_dict(field(fields, "meta", "billed_units"))
        images = as_count(billed.get("images"))
        image_tokens = as_count(billed.get("image_tokens"))
        usage = Usage(
            input_tokens=as_count(billed.get("input_tokens")),
            input_image_tokens=image_tokens or None,
            # Images that were not counted in tokens are billed by the piece.
            server_tool_uses={"images": images} if images and not image_tokens else {},
        )
        return Answer(
            usage=usage,
            provider_usage=fields.get("meta"),
            reply_id=as_text(fields.get("id")),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        texts = texts_of(field(request, "texts"))
        for item in as_list(field(request, "inputs")):
            texts += [as_text(field(part, "text")) for part in as_list(field(item, "content"))]
        return Conversation(
            messages=[Message(role="user", parts=[text_part(text)]) for text in texts if text]
        )


class CohereRerank(CohereEmbed):
    """Reranking, at Cohere by the search, at Jina, Voyage and Together by the token."""

    operation = "rerank"

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage")
        if as_dict(usage):
            count = first_count(usage, "prompt_tokens", "input_tokens", "total_tokens")
            ledger = Usage(input_tokens=count, output_tokens=None if count is None else 0)
        else:
            usage = fields.get("meta")
            ledger = _read_usage(usage)
        return Answer(
            model=as_text(fields.get("model")),
            usage=ledger,
            provider_usage=usage,
            reply_id=as_text(fields.get("id")),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        query = as_text(field(request, "query"))
        return Conversation(messages=[Message(role="user", parts=[text_part(query)])] if query else [])

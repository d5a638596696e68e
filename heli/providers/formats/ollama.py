"""Ollama's own API: one JSON object a line unless the caller asks for one object in all."""

from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.openai_completions import texts_of
from heli.providers.formats.parts import (
    media_part,
    text_part,
    thinking_part,
    tool_call_part,
    tool_definitions,
    tool_result_part,
)
from heli.providers.framing import Event, Stream, read_json_lines
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.schema.conversation import Conversation, Message, Part, PartKind
from heli.schema.usage import Usage

_COUNTS = ("prompt_eval_count", "eval_count")
_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


class OllamaChat:
    """`/api/chat`; its siblings below differ in where the text lies."""

    operation = "chat"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        return Asked(model=as_text(fields.get("model")), is_streaming=fields.get("stream") is not False)

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        is_lines = b"ndjson" in content_type or b"}\n{" in body
        return read_json_lines(body) if is_lines else None

    def assemble(self, events: Sequence[Event]) -> Json:
        return _assemble(events)

    def begins_answer(self, event: Event) -> bool:
        message = as_dict(field(event.data, "message"))
        return any(message.get(name) for name in ("content", "thinking", "tool_calls"))

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        counts = {name: fields[name] for name in (*_COUNTS, *_DURATIONS) if name in fields}
        is_done = fields.get("done") is True or "done" not in fields
        return Answer(
            model=as_text(fields.get("model")),
            usage=Usage(
                input_tokens=as_count(fields.get("prompt_eval_count")),
                output_tokens=as_count(fields.get("eval_count")),
            ),
            provider_usage=counts or None,
            finish_reason=as_text(fields.get("done_reason"))
            or ("stop" if fields.get("done") is True else ""),
            is_complete=is_done,
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = as_dict(request)
        message = field(reply, "message")
        return Conversation(
            messages=[_message(as_dict(each)) for each in as_list(asked.get("messages"))],
            reply=[_message(message)] if isinstance(message, dict) else [],
            tools=tool_definitions(asked.get("tools")),
        )


class OllamaGenerate(OllamaChat):
    """`/api/generate`."""

    operation = "completion"

    def begins_answer(self, event: Event) -> bool:
        return bool(field(event.data, "response") or field(event.data, "thinking"))

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked, answer = as_dict(request), as_dict(reply)
        system = as_text(asked.get("system"))
        prompt = {"role": "user", "content": asked.get("prompt"), "images": asked.get("images")}
        said = {"content": answer.get("response"), "thinking": answer.get("thinking")}
        return Conversation(
            system=[text_part(system)] if system else [],
            messages=[_message(prompt)],
            reply=[_message(said)] if "response" in answer else [],
        )


class OllamaEmbed(OllamaChat):
    """`/api/embed` and the older `/api/embeddings`."""

    operation = "embedding"

    def read_request(self, request: Json, path: str) -> Asked:
        return Asked(model=as_text(field(request, "model")))

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        texts = texts_of(field(request, "input")) or texts_of(field(request, "prompt"))
        return Conversation(messages=[Message(role="user", parts=[text_part(text)]) for text in texts])


def _assemble(events: Sequence[Event]) -> Json:
    """The lines as one object: running texts joined, the newest of everything else."""
    reply: dict[str, Json] = {}
    message: dict[str, Json] = {}
    calls: list[Json] = []
    texts: dict[tuple[str, str], list[str]] = {}
    for event in events:
        for name, value in as_dict(event.data).items():
            if name == "message":
                for key, item in as_dict(value).items():
                    if key in ("content", "thinking"):
                        texts.setdefault(("message", key), []).append(as_text(item))
                    elif key == "tool_calls":
                        calls += as_list(item)
                    else:
                        message[key] = item
            elif name in ("response", "thinking"):
                texts.setdefault(("", name), []).append(as_text(value))
            else:
                reply[name] = value
    for (place, name), pieces in texts.items():
        (message if place else reply)[name] = "".join(pieces)
    if calls:
        message["tool_calls"] = calls
    if message:
        reply["message"] = message
    return reply or None


def _message(fields: dict[str, Json]) -> Message:
    role = as_text(fields.get("role")) or "assistant"
    content = as_text(fields.get("content"))
    if role == "tool":
        return Message(role="tool", parts=[tool_result_part(content, name=fields.get("tool_name"))])
    parts: list[Part] = []
    if thinking := as_text(fields.get("thinking")):
        parts.append(thinking_part(thinking))
    if content:
        parts.append(text_part(content))
    parts += [media_part(PartKind.IMAGE, data=image) for image in as_list(fields.get("images"))]
    for call in as_list(fields.get("tool_calls")):
        function = as_dict(field(call, "function"))
        parts.append(tool_call_part(function.get("name"), function.get("arguments"), field(call, "id")))
    return Message(role=role, parts=parts)

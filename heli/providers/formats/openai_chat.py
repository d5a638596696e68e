"""OpenAI's chat completions, as OpenAI and most other hosts speak it."""

from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
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
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.schema.conversation import Conversation, Message, Part, PartKind

_JOINED = ("content", "refusal", "reasoning_content", "reasoning")
"""Fields of a delta that continue each other."""
_LISTED = ("annotations", "reasoning_details", "images")
"""Fields of a delta that add to a list."""


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
            if any(delta.get(name) for name in (*_JOINED, "tool_calls", "function_call", "audio")):
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


# Streams


class _Choice:
    """One choice of a stream while it grows; joined once, so that long streams stay linear."""

    def __init__(self, index: int) -> None:
        self.fields: dict[str, Json] = {"index": index}
        self.message: dict[str, Json] = {"role": "assistant", "content": None}
        self.texts: dict[str, list[str]] = {}
        self.content_items: list[Json] = []
        self.calls: dict[object, dict[str, Json]] = {}
        self.arguments: dict[object, list[str]] = {}
        self.audio: dict[str, Json] = {}
        self.logprobs: list[Json] = []

    def take(self, choice: dict[str, Json]) -> None:
        for name, value in choice.items():
            if name == "delta":
                self._take_delta(as_dict(value))
            elif name == "logprobs":
                self.logprobs += as_list(field(value, "content"))
            elif value is not None and name != "index":
                self.fields[name] = value

    def _take_delta(self, delta: dict[str, Json]) -> None:
        for name, value in delta.items():
            if value is None:
                continue
            if name in _JOINED and isinstance(value, str):
                self.texts.setdefault(name, []).append(value)
            elif name == "content" and isinstance(value, list):
                self.content_items += value
            elif name == "tool_calls":
                for call in as_list(value):
                    self._take_call(as_dict(call))
            elif name == "function_call":
                self._take_call({"index": "function_call", "function": value})
            elif name == "audio":
                self._take_audio(as_dict(value))
            elif name in _LISTED and isinstance(value, list):
                self.message.setdefault(name, []).extend(value)
            else:
                self.message[name] = value

    def _take_call(self, call: dict[str, Json]) -> None:
        key = call.get("index")
        if not isinstance(key, int | str):
            # Some hosts leave the index out: a call with an id is a new one.
            key = as_text(call.get("id")) or next(reversed(self.calls), "")
        function = as_dict(call.get("function"))
        known = self.calls.get(key)
        if known is None:
            known = {"id": None, "type": "function", "function": {"name": ""}}
            self.calls[key] = known
            self.arguments[key] = []
        for name, value in call.items():
            if name not in ("index", "function") and value:
                known[name] = value
        if function.get("name"):
            known["function"]["name"] = function["name"]
        self.arguments[key].append(as_text(function.get("arguments")))

    def _take_audio(self, audio: dict[str, Json]) -> None:
        for name, value in audio.items():
            if name in ("data", "transcript"):
                self.texts.setdefault(f"audio.{name}", []).append(as_text(value))
            else:
                self.audio[name] = value

    def finish(self) -> dict[str, Json]:
        for name, pieces in self.texts.items():
            text = "".join(pieces)
            if name.startswith("audio."):
                self.audio[name[6:]] = text
            else:
                self.message[name] = text
        if self.content_items:
            text = self.message["content"]
            self.message["content"] = self.content_items + ([{"type": "text", "text": text}] if text else [])
        if self.audio:
            self.message["audio"] = self.audio
        for key, call in self.calls.items():
            call["function"]["arguments"] = "".join(self.arguments[key])
        if "function_call" in self.calls:
            self.message["function_call"] = self.calls.pop("function_call")["function"]
        if self.calls:
            self.message["tool_calls"] = list(self.calls.values())
        self.fields["message"] = self.message
        if self.logprobs:
            self.fields["logprobs"] = {"content": self.logprobs}
        self.fields.setdefault("finish_reason", None)
        return self.fields


def assemble_chat(events: Sequence[Event]) -> Json:
    """The chunks as one `chat.completion`; `None` when there is none."""
    reply: dict[str, Json] = {}
    choices: dict[int, _Choice] = {}
    for event in events:
        for name, value in as_dict(event.data).items():
            if name == "choices":
                for position, each in enumerate(as_list(value)):
                    index = as_count(field(each, "index"))
                    index = position if index is None else index
                    choice = choices.get(index) or choices.setdefault(index, _Choice(index))
                    choice.take(as_dict(each))
            elif value is not None:
                reply[name] = value
    if not reply and not choices:
        return None
    if choices or "error" not in reply:
        reply["object"] = "chat.completion"
        reply["choices"] = [choices[index].finish() for index in sorted(choices)]
    return reply


# Messages


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

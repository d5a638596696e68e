"""Models that Bedrock runs in their vendor's own shape, wrapped in Amazon's binary streams."""

import re
from collections.abc import Sequence

import msgspec

from heli.providers.event_stream import looks_like_event_stream, read_event_stream, unwrap_chunks
from heli.providers.formats.anthropic_messages import AnthropicMessages
from heli.providers.formats.bedrock_converse import BedrockConverse
from heli.providers.formats.bedrock_usage import INVOCATION_METRICS, read_invocation_metrics
from heli.providers.formats.cohere import CohereChat, CohereEmbed, CohereRerank
from heli.providers.formats.format import Answer, Asked, Format
from heli.providers.formats.opaque import Opaque
from heli.providers.formats.openai_chat import OpenAIChat
from heli.providers.formats.openai_completions import texts_of
from heli.providers.formats.parts import text_part
from heli.providers.framing import Event, Stream
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.providers.usage_ledger import first_count
from heli.schema.conversation import Conversation, Message
from heli.schema.usage import Usage


class _Invoked:
    """A vendor's format inside of Bedrock's frames."""

    def __init__(self, inner: Format) -> None:
        self._inner = inner
        self.operation = inner.operation
        self.is_free = False
        self.begins_answer = inner.begins_answer
        self.read_conversation = inner.read_conversation

    def read_request(self, request: Json, path: str) -> Asked:
        asked = self._inner.read_request(request, path)
        is_streaming = path.partition("?")[0].endswith("-stream")
        return msgspec.structs.replace(asked, is_streaming=is_streaming)

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        if not looks_like_event_stream(body, content_type):
            return None
        return unwrap_chunks(read_event_stream(body))

    def assemble(self, events: Sequence[Event]) -> Json:
        reply = self._inner.assemble(events)
        for event in reversed(events):
            metrics = field(event.data, INVOCATION_METRICS)
            if metrics is not None:
                return {**as_dict(reply), INVOCATION_METRICS: metrics}
        return reply

    def read_answer(self, reply: Json, provider: str) -> Answer:
        answer = self._inner.read_answer(reply, provider)
        metrics = field(reply, INVOCATION_METRICS)
        if answer.usage.total_tokens is not None or not as_dict(metrics):
            return answer
        usage = read_invocation_metrics(metrics)
        return msgspec.structs.replace(answer, usage=usage, provider_usage=metrics)


class _Text:
    """A prompt in, a text out: Llama, Mistral, Titan and what else has no messages."""

    operation = "completion"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        return Asked()

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return None

    def assemble(self, events: Sequence[Event]) -> Json:
        """The newest of every field, with the text of all chunks under the name that it has in the reply."""
        reply: dict[str, Json] = {}
        pieces: dict[str, list[str]] = {}
        for event in events:
            data = as_dict(event.data)
            reply.update({name: value for name, value in data.items() if value is not None})
            for name in _TEXTS:
                if isinstance(text := data.get(name), str):
                    pieces.setdefault(name, []).append(text)
            if as_list(data.get("outputs")):
                text = as_text(field(data["outputs"][0], "text"))
                pieces.setdefault("outputs", []).append(text)
        for name, texts in pieces.items():
            text = "".join(texts)
            if name == "outputs":
                last = as_dict(next(iter(as_list(reply.get(name))), None))
                reply[name] = [{**last, "text": text}]
            else:
                reply[name] = text
        return reply or None

    def begins_answer(self, event: Event) -> bool:
        data = as_dict(event.data)
        return any(data.get(name) for name in (*_TEXTS, "outputs"))

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        only = as_dict(next(iter(as_list(fields.get("results")) or as_list(fields.get("outputs"))), None))
        finish = next((word for name in _FINISHES if (word := fields.get(name) or only.get(name))), "")
        counts = {name: fields[name] for name in (*_INPUTS, *_OUTPUTS) if name in fields}
        usage = Usage(
            input_tokens=first_count(fields, *_INPUTS),
            output_tokens=first_count({**only, **fields}, *_OUTPUTS),
        )
        return Answer(
            usage=usage,
            provider_usage=counts or None,
            finish_reason=as_text(finish),
            is_complete=bool(finish),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        prompt = as_text(field(request, "prompt")) or as_text(field(request, "inputText"))
        fields = as_dict(reply)
        said = [as_text(fields.get(name)) for name in _TEXTS]
        for name, key in (("results", "outputText"), ("outputs", "text"), ("generations", "text")):
            said += [as_text(field(each, key)) for each in as_list(fields.get(name))]
        return Conversation(
            messages=[Message(role="user", parts=[text_part(prompt)])] if prompt else [],
            reply=[Message(role="assistant", parts=[text_part(text)]) for text in said if text],
        )


_TEXTS = ("generation", "outputText", "completion")
"""Where Llama, Titan and the oldest Claude have their text."""
_INPUTS = ("prompt_token_count", "inputTextTokenCount")
_OUTPUTS = ("generation_token_count", "totalOutputTextTokenCount", "tokenCount")
_FINISHES = ("stop_reason", "completionReason", "finish_reason")


class _TitanEmbed(_Text):
    """Titan's embeddings: a text in, a vector out."""

    operation = "embedding"

    def read_answer(self, reply: Json, provider: str) -> Answer:
        count = as_count(field(reply, "inputTextTokenCount"))
        told = None if count is None else {"inputTextTokenCount": count}
        return Answer(usage=Usage(input_tokens=count), provider_usage=told)

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        texts = texts_of(field(request, "inputText"))
        return Conversation(messages=[Message(role="user", parts=[text_part(text)]) for text in texts])


_ANTHROPIC = _Invoked(AnthropicMessages())
_CHAT = _Invoked(OpenAIChat())
_NOVA = _Invoked(BedrockConverse())
_TEXT = _Invoked(_Text())
_TITAN_EMBED = _Invoked(_TitanEmbed())
_COHERE_CHAT = _Invoked(CohereChat())
_COHERE_EMBED = _Invoked(CohereEmbed())
_RERANK = _Invoked(CohereRerank())

_VENDORS = tuple(
    (re.compile(pattern), format)
    for pattern, format in (
        (r"\banthropic\.claude-(?:v2|instant)", None),  # in messages or as a prompt
        (r"\banthropic\.", _ANTHROPIC),
        (r"\bamazon\.titan-embed", _TITAN_EMBED),
        (r"\bamazon\.(?:rerank)", _RERANK),
        (r"\bcohere\.embed", _COHERE_EMBED),
        (r"\bcohere\.rerank", _RERANK),
        (r"\bcohere\.command-r", _COHERE_CHAT),
        (r"\b(?:openai|qwen|deepseek|ai21|moonshotai?|minimax|zai|google|nvidia)\.", None),
        (r"\bmeta\.", _TEXT),
    )
)
"""`(part of the model's id, format)`; `None` where the body tells better."""


def choose_invoked(path_model: str, request: Json) -> Format:
    """The format of an invoked model: by its id, and by the body where the id says too little."""
    for pattern, format in _VENDORS:
        if pattern.search(path_model):
            if format is not None:
                return format
            break
    asked = as_dict(request)
    if "messages" in asked:
        if "anthropic_version" in asked:
            return _ANTHROPIC
        return _NOVA if _is_nova(asked) else _CHAT
    if "prompt" in asked:
        return _TEXT
    if "inputText" in asked:
        return _TEXT if "textGenerationConfig" in asked else _TITAN_EMBED
    if "query" in asked and "documents" in asked:
        return _RERANK
    if "texts" in asked or "input_type" in asked:
        return _COHERE_EMBED
    if "message" in asked:
        return _COHERE_CHAT
    return _OTHER


_OTHER = _Invoked(Opaque("invoke"))


def _is_nova(asked: dict[str, Json]) -> bool:
    if "inferenceConfig" in asked or "schemaVersion" in asked:
        return True
    first = next(iter(as_list(as_dict(next(iter(as_list(asked["messages"])), None)).get("content"))), None)
    return isinstance(first, dict) and "text" in first and "type" not in first

"""OpenAI's audio: speech from text, text from speech. Models count tokens, seconds or characters."""

import math
import re
from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.parts import media_part, text_part
from heli.providers.framing import Event, Stream, looks_like_sse, read_sse
from heli.providers.json_values import Json, as_count, as_dict, as_text, field
from heli.providers.usage_ledger import first_count, positive, split_totals
from heli.schema.conversation import Conversation, Message, Part, PartKind
from heli.schema.usage import Usage


class OpenAITranscription:
    """Transcriptions and translations; the request is a form with a file, the reply may be plain text."""

    operation = "transcription"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        is_streaming = fields.get("stream") in (True, "true", "True", "1")
        return Asked(model=as_text(fields.get("model")), is_streaming=is_streaming)

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        if b"event-stream" in content_type or body.startswith((b"data: {", b"event: transcri")):
            return read_sse(body)
        return None

    def assemble(self, events: Sequence[Event]) -> Json:
        """The last event holds the whole text and the usage; the pieces stand in where it did not come."""
        reply: dict[str, Json] = {}
        pieces: list[str] = []
        segments: list[Json] = []
        for event in events:
            data = as_dict(event.data)
            kind = as_text(data.get("type"))
            if kind.endswith(".text.delta"):
                pieces.append(as_text(data.get("delta")))
            elif kind.endswith(".segment"):
                segments.append(data)
            elif kind.endswith(".done"):
                reply.update({name: value for name, value in data.items() if name != "type"})
                reply["is_done"] = True
            elif data.get("error"):
                reply["error"] = data["error"]
        if not reply and not pieces and not segments:
            return None
        is_done = reply.pop("is_done", False)
        if "text" not in reply and (pieces or segments):
            reply["text"] = "".join(pieces) or " ".join(as_text(field(each, "text")) for each in segments)
        if not is_done:
            reply["is_cut"] = True
        if segments:
            reply.setdefault("segments", segments)
        return reply

    def begins_answer(self, event: Event) -> bool:
        return as_text(field(event.data, "type")).endswith((".delta", ".segment"))

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage")
        ledger, doubt = read_audio_usage(usage)
        if usage is None and (seconds := _seconds(fields.get("duration"))):
            least = _LEAST_SECONDS.get(provider, 0)
            ledger = Usage(server_tool_uses={"audio_seconds": max(least, seconds[0])})
            doubt = "the provider told the length of the audio only, not what it billed"
        return Answer(
            model=as_text(fields.get("model")),
            usage=ledger,
            provider_usage=usage,
            is_complete="is_cut" not in fields,
            reply_id=as_text(field(fields, "x_groq", "id")),
            doubt=doubt,
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        parts: list[Part] = []
        file = as_dict(field(request, "file"))
        if file:
            part = media_part(PartKind.AUDIO, media_type=file.get("content_type"), name=file.get("filename"))
            parts.append(part)
        if prompt := as_text(field(request, "prompt")):
            parts.append(text_part(prompt))
        text = reply if isinstance(reply, str) else as_text(field(reply, "text"))
        return Conversation(
            messages=[Message(role="user", parts=parts)] if parts else [],
            reply=[Message(role="assistant", parts=[text_part(text)])] if text else [],
        )


_LEAST_SECONDS = {"GROQ": 10}
"""`{provider: seconds that are billed at least}` (console.groq.com, Speech to Text)."""


def read_audio_usage(usage: Json) -> tuple[Usage, str]:
    """`(ledger, doubt)` of a transcription: `type` says whether it is billed by tokens or by the second."""
    fields = as_dict(usage)
    if fields.get("type") == "duration" or "seconds" in fields or "prompt_audio_seconds" in fields:
        seconds = _seconds(fields.get("seconds", fields.get("prompt_audio_seconds")))
        if seconds is None:
            return Usage(), ""
        whole, is_whole = seconds
        doubt = "" if is_whole else "the provider billed a part of a second: counted as a whole one"
        return Usage(server_tool_uses={"audio_seconds": whole}), doubt
    details = fields.get("input_token_details") or fields.get("input_tokens_details")
    total_output = first_count(fields, "output_tokens", "completion_tokens")
    return split_totals(
        total_input=first_count(fields, "input_tokens", "prompt_tokens"),
        input_audio=positive(as_count(field(details, "audio_tokens"))),
        total_output=total_output,
    ), ""


def _seconds(value: Json) -> tuple[int, bool] | None:
    """Whole seconds, rounded up, and whether nothing was rounded. whisper-1 tells them as a text."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return math.ceil(value), value == math.ceil(value)


class OpenAISpeech:
    """Speech from text. The reply is audio, or events with the usage at their end."""

    operation = "speech"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        return Asked(
            model=as_text(fields.get("model")),
            is_streaming=fields.get("stream_format") == "sse",
            characters=len(as_text(fields.get("input"))),
        )

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        if b"event-stream" in content_type and looks_like_sse(body):
            return read_sse(body)
        return None

    def assemble(self, events: Sequence[Event]) -> Json:
        reply: dict[str, Json] = {}
        size = 0
        for event in events:
            data = as_dict(event.data)
            if data.get("type") == "speech.audio.delta":
                size += len(as_text(data.get("audio")))
            elif data.get("type") == "speech.audio.done":
                reply["usage"] = data.get("usage")
            elif data.get("error"):
                reply["error"] = data["error"]
        if size:
            reply["audio_base64_bytes"] = size
        return reply or None

    def begins_answer(self, event: Event) -> bool:
        return as_text(field(event.data, "type")) == "speech.audio.delta"

    def read_answer(self, reply: Json, provider: str) -> Answer:
        usage = field(reply, "usage")
        ledger = split_totals(
            total_input=as_count(field(usage, "input_tokens")),
            total_output=(total := as_count(field(usage, "output_tokens"))),
            output_audio=total,
        )
        return Answer(usage=ledger, provider_usage=usage)

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        texts = [as_text(field(request, "instructions")), as_text(field(request, "input"))]
        size = as_count(field(reply, "audio_base64_bytes"))
        return Conversation(
            system=[text_part(texts[0])] if texts[0] else [],
            messages=[Message(role="user", parts=[text_part(texts[1])])] if texts[1] else [],
            reply=[Message(role="assistant", parts=[Part(kind=PartKind.AUDIO, data_bytes=size)])]
            if size
            else [],
        )

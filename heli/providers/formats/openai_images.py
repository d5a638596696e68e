"""OpenAI's images: models of the gpt-image family count tokens, older ones do not."""

from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.openai_usage import reported_cost
from heli.providers.formats.parts import text_part
from heli.providers.framing import Event, Stream, looks_like_sse, read_sse
from heli.providers.json_values import Json, as_count, as_dict, as_text, field
from heli.providers.usage_ledger import positive, split_totals
from heli.schema.conversation import Conversation, Message
from heli.schema.usage import Usage


class OpenAIImages:
    operation = "image"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        return Asked(
            model=as_text(fields.get("model")),
            is_streaming=fields.get("stream") is True,
            user=as_text(fields.get("user")),
        )

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return read_sse(body) if looks_like_sse(body) else None

    def assemble(self, events: Sequence[Event]) -> Json:
        """The last event holds the whole image and the usage; earlier ones are previews of it."""
        last = as_dict(events[-1].data) if events else {}
        if not last:
            return None
        image = {name: last[name] for name in ("b64_json", "url") if name in last}
        return {**{name: value for name, value in last.items() if name not in image}, "data": [image]}

    def begins_answer(self, event: Event) -> bool:
        return bool(field(event.data, "b64_json"))

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage")
        return Answer(
            model=as_text(fields.get("model")),
            usage=_read_usage(usage),
            provider_usage=usage,
            reported_cost_usd=reported_cost(usage),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        prompt = as_text(field(request, "prompt"))
        return Conversation(messages=[Message(role="user", parts=[text_part(prompt)])] if prompt else [])


def _read_usage(usage: Json) -> Usage:
    total_output = as_count(field(usage, "output_tokens"))
    text = as_count(field(usage, "output_tokens_details", "text_tokens")) or 0
    return split_totals(
        total_input=as_count(field(usage, "input_tokens")),
        input_image=positive(as_count(field(usage, "input_tokens_details", "image_tokens"))),
        total_output=total_output,
        output_image=None if total_output is None else max(0, total_output - text),
    )

"""OpenAI's embeddings: texts in, vectors out."""

from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.openai_completions import texts_of
from heli.providers.formats.openai_usage import read_usage, reported_cost
from heli.providers.formats.parts import text_part
from heli.providers.framing import Event, Stream
from heli.providers.json_values import Json, as_count, as_dict, as_text, field
from heli.schema.conversation import Conversation, Message
from heli.schema.usage import Usage


class OpenAIEmbeddings:
    operation = "embedding"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        return Asked(model=as_text(fields.get("model")), user=as_text(fields.get("user")))

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return None

    def assemble(self, events: Sequence[Event]) -> Json:
        return None

    def begins_answer(self, event: Event) -> bool:
        return False

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage")
        return Answer(
            model=as_text(fields.get("model")),
            usage=_read_usage(usage, provider),
            provider_usage=usage,
            is_complete=True,
            reply_id=as_text(fields.get("id")),
            reported_cost_usd=reported_cost(usage),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        texts = texts_of(field(request, "input"))
        return Conversation(messages=[Message(role="user", parts=[text_part(text)]) for text in texts])


def _read_usage(usage: Json, provider: str) -> Usage:
    """Some hosts tell the total only; there is no output that it could include."""
    ledger = read_usage(usage, provider)
    total = as_count(field(usage, "total_tokens"))
    return ledger if total is None or ledger.total_tokens is not None else Usage(input_tokens=total)

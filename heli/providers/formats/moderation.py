"""Moderation: a judgement of a text. Free at OpenAI, billed by the token elsewhere."""

from heli.providers.formats.format import Answer
from heli.providers.formats.openai_completions import texts_of
from heli.providers.formats.openai_embeddings import OpenAIEmbeddings
from heli.providers.formats.openai_usage import read_usage
from heli.providers.formats.parts import text_part
from heli.providers.json_values import Json, as_dict, as_list, as_text, field
from heli.schema.conversation import Conversation, Message


class Moderation(OpenAIEmbeddings):
    operation = "moderation"

    def __init__(self, is_free: bool = False) -> None:
        self.is_free = is_free

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage")
        flagged = [each for each in as_list(fields.get("results")) if field(each, "flagged") is True]
        return Answer(
            model=as_text(fields.get("model")),
            usage=read_usage(usage, provider),
            provider_usage=usage,
            finish_reason="flagged" if flagged else "",
            reply_id=as_text(fields.get("id")),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        given = field(request, "input")
        texts = texts_of(given)
        texts += [as_text(field(each, "text")) for each in as_list(given)]
        return Conversation(
            messages=[Message(role="user", parts=[text_part(text)]) for text in texts if text]
        )

"""Vertex's `predict`: embeddings, which count their tokens, and what else heli does not read."""

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.openai_embeddings import OpenAIEmbeddings
from heli.providers.formats.parts import text_part
from heli.providers.json_values import Json, as_count, as_list, as_text, field
from heli.schema.conversation import Conversation, Message
from heli.schema.usage import Usage


class VertexPredict(OpenAIEmbeddings):
    operation = "predict"

    def read_request(self, request: Json, path: str) -> Asked:
        return Asked()

    def read_answer(self, reply: Json, provider: str) -> Answer:
        told = [field(each, "embeddings", "statistics") for each in as_list(field(reply, "predictions"))]
        counts = [as_count(field(statistics, "token_count")) for statistics in told]
        known = [count for count in counts if count is not None]
        if not known or len(known) < len(told):
            return Answer()
        return Answer(usage=Usage(input_tokens=sum(known)), provider_usage={"statistics": told})

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        instances = as_list(field(request, "instances"))
        texts = [as_text(field(each, "content")) or as_text(field(each, "prompt")) for each in instances]
        return Conversation(
            messages=[Message(role="user", parts=[text_part(text)]) for text in texts if text]
        )

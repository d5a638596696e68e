"""What heli keeps without understanding: other endpoints, and socket connections for now."""

from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
from heli.providers.framing import Event, Stream
from heli.providers.json_values import Json, as_dict, as_text, field
from heli.schema.conversation import Conversation


class Opaque:
    """An operation by name only."""

    def __init__(self, operation: str = "other", is_free: bool = False) -> None:
        self.operation = operation
        self.is_free = is_free

    def read_request(self, request: Json, path: str) -> Asked:
        model = as_text(field(request, "model"))
        return Asked(model=model, is_streaming=field(request, "stream") is True)

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return None

    def assemble(self, events: Sequence[Event]) -> Json:
        return None

    def begins_answer(self, event: Event) -> bool:
        return False

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        return Answer(model=as_text(fields.get("model")), reply_id=as_text(fields.get("id")))

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        return Conversation()

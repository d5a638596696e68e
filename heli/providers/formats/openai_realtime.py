"""OpenAI's Realtime: responses as in the Responses API, spoken, with their own names for usage and ends."""

from collections.abc import Sequence

import msgspec

from heli.providers.formats.format import Answer
from heli.providers.formats.openai_images import CACHED_IMAGES
from heli.providers.formats.openai_responses import OpenAIResponses
from heli.providers.framing import Event
from heli.providers.json_values import Json, as_dict, field


class OpenAIRealtime(OpenAIResponses):
    operation = "realtime"

    def assemble(self, events: Sequence[Event]) -> Json:
        reply = super().assemble(events)
        error = field(reply, "status_details", "error")
        return {**reply, "error": error} if error and not reply.get("error") else reply

    def read_answer(self, reply: Json, provider: str) -> Answer:
        """Realtime says `input_token_details` where Responses says `input_tokens_details`."""
        fields = as_dict(reply)
        told = as_dict(fields.get("usage"))
        usage = {name.replace("_token_details", "_tokens_details"): value for name, value in told.items()}
        answer = super().read_answer({**fields, "usage": usage or None}, provider)
        has_cached_images = field(usage, "input_tokens_details", "cached_tokens_details", "image_tokens")
        return msgspec.structs.replace(
            answer, provider_usage=told or None, doubt=CACHED_IMAGES if has_cached_images else ""
        )


class WarmUp(OpenAIResponses):
    """A `response.create` with `generate: false`, which loads a prompt and runs no model."""

    operation = "warm_up"
    is_free = True

"""OpenAI's images: models of the gpt-image family count tokens, older ones do not."""

from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.openai_usage import reported_cost
from heli.providers.formats.parts import media_part, text_part
from heli.providers.framing import Event, Stream, looks_like_sse, read_sse
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.providers.usage_ledger import minus, positive, split_totals
from heli.schema.conversation import Conversation, Message, Part, PartKind
from heli.schema.usage import Usage

CACHED_IMAGES = "cached images have a price of their own, which is not listed apart"


class OpenAIImages:
    operation = "image"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        return Asked(
            model=as_text(fields.get("model")),
            is_streaming=fields.get("stream") in (True, "true"),
            user=as_text(fields.get("user")),
        )

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return read_sse(body) if looks_like_sse(body) else None

    def assemble(self, events: Sequence[Event]) -> Json:
        """Every finished image, and the usage; of one that did not come to its end the last preview."""
        reply: dict[str, Json] = {}
        images: list[Json] = []
        preview: dict[str, Json] = {}
        for event in events:
            data = as_dict(event.data)
            if data.get("error"):
                reply["error"] = data["error"]
            image: dict[str, Json] = {name: data[name] for name in ("b64_json", "url") if name in data}
            if as_text(data.get("type")).endswith(".partial_image"):
                preview = image
            elif image:
                images.append(image)
                reply.update({name: value for name, value in data.items() if name not in image})
        if not images and preview:
            reply["is_cut"] = True
        if images or preview:
            reply["data"] = images or [preview]
        return reply or None

    def begins_answer(self, event: Event) -> bool:
        return bool(field(event.data, "b64_json"))

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage")
        ledger, doubt = read_image_usage(usage)
        return Answer(
            model=as_text(fields.get("model")),
            usage=ledger,
            provider_usage=usage,
            is_complete="is_cut" not in fields,
            reported_cost_usd=reported_cost(usage),
            doubt=doubt,
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = as_dict(request)
        parts = [_file_part(file) for file in _files(asked.get("image"))]
        if prompt := as_text(asked.get("prompt")):
            parts.append(text_part(prompt))
        made = [
            media_part(PartKind.IMAGE, url=field(each, "url"), data=field(each, "b64_json"))
            for each in as_list(field(reply, "data"))
        ]
        return Conversation(
            messages=[Message(role="user", parts=parts)] if parts else [],
            reply=[Message(role="assistant", parts=made)] if made else [],
        )


def _files(value: Json) -> list[Json]:
    """One file of a form, or several."""
    return value if isinstance(value, list) else [value] if value else []


def _file_part(file: Json) -> Part:
    fields = as_dict(file)
    return Part(
        kind=PartKind.IMAGE,
        name=as_text(fields.get("filename")),
        media_type=as_text(fields.get("content_type")),
        data_bytes=as_count(fields.get("bytes")),
    )


def read_image_usage(usage: Json) -> tuple[Usage, str]:
    """`(ledger, doubt)`; the output is an image but for what is told to be text."""
    total_output = as_count(field(usage, "output_tokens"))
    details = as_dict(field(usage, "input_tokens_details"))
    text = as_count(field(usage, "output_tokens_details", "text_tokens")) or 0
    cached = as_count(details.get("cached_tokens"))
    cached_images = as_count(field(details, "cached_tokens_details", "image_tokens"))
    image = positive(as_count(details.get("image_tokens")))
    doubt = ""
    if cached and cached_images != 0:
        doubt = CACHED_IMAGES
        image = minus(image, cached_images)
        if image and cached_images is None:
            # Which of the cached tokens were images is not told: the split would count some twice.
            image = None
    ledger = split_totals(
        total_input=as_count(field(usage, "input_tokens")),
        cache_read=cached,
        input_image=image,
        total_output=total_output,
        output_image=None if total_output is None else max(0, total_output - text),
    )
    return ledger, doubt

"""Batches: asking for them is free, and the file of their results tells what each call in it used."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from heli.providers.formats.anthropic_usage import read_parts as read_anthropic_parts
from heli.providers.formats.format import Answer, Asked, Billed
from heli.providers.formats.openai_images import read_image_usage
from heli.providers.formats.openai_usage import count_tool_items
from heli.providers.formats.openai_usage import read_usage as read_openai_usage
from heli.providers.framing import Event, Stream, read_json_lines
from heli.providers.json_values import Json, as_dict, as_list, as_text, field
from heli.providers.usage_ledger import add_ledgers
from heli.schema.conversation import Conversation
from heli.schema.usage import Usage


class Batch:
    """Making, looking at and cancelling a batch."""

    operation = "batch"
    is_free = True

    def read_request(self, request: Json, path: str) -> Asked:
        model = as_text(field(request, "model"))
        for each in as_list(field(request, "requests"))[:1]:  # Anthropic's are in the request itself
            model = model or as_text(field(each, "params", "model"))
        return Asked(model=model)

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return None

    def assemble(self, events: Sequence[Event]) -> Json:
        return None

    def begins_answer(self, event: Event) -> bool:
        return False

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        status = as_text(fields.get("status")) or as_text(fields.get("processing_status"))
        return Answer(
            model=as_text(fields.get("model")),
            # Told, but not counted: it is counted with the results, and a batch is looked at many times.
            provider_usage=fields.get("usage"),
            finish_reason=status,
            reply_id=as_text(fields.get("id")),
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        return Conversation()


class BatchResults(Batch):
    """The file of results of OpenAI, Azure and Mistral, and Anthropic's: a JSON object for each call."""

    operation = "batch_results"
    is_free = False

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return read_json_lines(body)

    def assemble(self, events: Sequence[Event]) -> Json:
        return {"object": "list", "data": [event.data for event in events]} if events else None

    def read_answer(self, reply: Json, provider: str) -> Answer:
        lines = as_list(field(reply, "data"))
        billed = [part for line in lines for part in _read_line(line, provider)]
        models = Counter(each.model for each in billed)
        return Answer(
            model=models.most_common(1)[0][0] if models else "",
            usage=add_ledgers([each.usage for each in billed]),
            service_tier="batch",
            billed=tuple(billed),
        )


def looks_like_results(body: bytes) -> bool:
    """Whether a file that was fetched holds the results of a batch, and not something else."""
    line = body[:4096].split(b"\n", 1)[0]
    return b'"custom_id"' in line and (b'"response"' in line or b'"result"' in line or b'"error"' in line)


def _read_line(line: Json, provider: str) -> list[Billed]:
    """What one call used; nothing for one that failed, for which nothing is charged."""
    result = as_dict(field(line, "result"))
    message = as_dict(result.get("message") if result else field(line, "response", "body"))
    model, usage = as_text(message.get("model")), message.get("usage")
    if not as_dict(usage):
        return []
    if result:
        return [
            msgspec.structs.replace(part, model=part.model or model) for part in read_anthropic_parts(usage)
        ]
    if _holds_images(message):
        ledger, _ = read_image_usage(usage)
    else:
        ledger = read_openai_usage(usage, provider)
    if tools := count_tool_items(message.get("output")):
        ledger = _with_tools(ledger, tools)
    return [Billed(model, ledger)]


def _holds_images(message: dict[str, Json]) -> bool:
    first = as_dict(next(iter(as_list(message.get("data"))), None))
    return "b64_json" in first or "url" in first


def _with_tools(ledger: Usage, tools: dict[str, int]) -> Usage:
    return add_ledgers([ledger, Usage(server_tool_uses=tools)])

"""Mistral's OCR: a document in, pages of text out."""

from collections.abc import Sequence

from heli.providers.formats.format import Answer, Asked
from heli.providers.formats.parts import media_part, text_part
from heli.providers.framing import Event, Stream
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.schema.conversation import Conversation, Message, PartKind
from heli.schema.usage import Usage


class MistralOCR:
    """Pages read by Mistral's OCR, billed by the page; more where it fills in a schema as well."""

    operation = "ocr"
    is_free = False

    def read_request(self, request: Json, path: str) -> Asked:
        fields = as_dict(request)
        return Asked(model=as_text(fields.get("model")))

    def read_events(self, body: bytes, content_type: bytes) -> Stream | None:
        return None

    def assemble(self, events: Sequence[Event]) -> Json:
        return None

    def begins_answer(self, event: Event) -> bool:
        return False

    def read_answer(self, reply: Json, provider: str) -> Answer:
        fields = as_dict(reply)
        usage = fields.get("usage_info")
        pages = as_count(field(usage, "pages_processed"))
        is_annotated = bool(fields.get("document_annotation")) or any(
            field(image, "image_annotation")
            for page in as_list(fields.get("pages"))
            for image in as_list(field(page, "images"))
        )
        unit = "annotated_pages" if is_annotated else "pages"
        return Answer(
            model=as_text(fields.get("model")),
            usage=Usage(server_tool_uses={unit: pages} if pages else {}),
            provider_usage=usage,
        )

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        document = as_dict(field(request, "document"))
        url = document.get("document_url") or document.get("image_url") or document.get("file_id")
        url = url if isinstance(url, str) else field(url, "url")
        texts = [as_text(field(page, "markdown")) for page in as_list(field(reply, "pages"))]
        return Conversation(
            messages=[Message(role="user", parts=[media_part(PartKind.FILE, url=url)])] if url else [],
            reply=[Message(role="assistant", parts=[text_part("\n\n".join(filter(None, texts)))])]
            if any(texts)
            else [],
        )

"""What a Realtime session has been told so far: its settings, and the items of its conversation in order."""

from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, encode_json

MAX_ITEMS = 500
MAX_TOLD_BYTES = 64 * 1024
"""Of the conversation that is kept with each response; its end, as earlier responses hold the rest."""
_SETTINGS = ("model", "instructions", "tools", "voice", "modalities", "output_modalities", "temperature")


class Dialogue:
    """Follows the events of both sides. Audio is counted, never kept."""

    def __init__(self, model: str) -> None:
        self.settings: dict[str, Json] = {"model": model} if model else {}
        self._items: dict[str, dict[str, Json]] = {}
        self._unheard: list[dict[str, Json]] = []
        """Items that the client has sent and the server has not told of yet."""
        self._heard_bytes = 0
        """Audio since the last item was made of it."""

    def client_said(self, kind: str, event: dict[str, Json]) -> None:
        if kind == "session.update":
            self._set(event.get("session"))
        elif kind == "conversation.item.create":
            self._unheard.append(_without_audio(as_dict(event.get("item"))))
            del self._unheard[:-MAX_ITEMS]
        elif kind == "input_audio_buffer.append":
            self._heard_bytes += audio_bytes(event.get("audio"))
        elif kind == "input_audio_buffer.clear":
            self._heard_bytes = 0

    def server_said(self, kind: str, event: dict[str, Json]) -> None:
        if kind in ("session.created", "session.updated"):
            self._set(event.get("session"))
        elif kind in ("conversation.item.created", "conversation.item.added", "conversation.item.done"):
            self._add(as_dict(event.get("item")))
        elif kind == "response.output_item.done":
            self._put(_without_audio(as_dict(event.get("item"))))
        elif kind == "input_audio_buffer.committed":
            part = {"type": "input_audio", "audio_bytes": self._heard_bytes}
            item = {"id": event.get("item_id"), "type": "message", "role": "user", "content": [part]}
            self._heard_bytes = 0
            self._put(item)
        elif kind == "conversation.item.input_audio_transcription.completed":
            self._transcribe(event)
        elif kind == "conversation.item.deleted":
            self._items.pop(as_text(event.get("item_id")), None)

    def so_far(self) -> list[dict[str, Json]]:
        """The items at this moment. A transcript that comes later is still written into them."""
        return [*self._items.values(), *self._unheard]

    def _set(self, session: Json) -> None:
        told = as_dict(session)
        self.settings |= {name: told[name] for name in _SETTINGS if told.get(name)}

    def _add(self, item: dict[str, Json]) -> None:
        if self._unheard and as_text(item.get("id")) not in self._items and item.get("role") != "assistant":
            self._unheard.pop(0)
        self._put(_without_audio(item))

    def _put(self, item: dict[str, Json]) -> None:
        key = as_text(item.get("id")) or f"item {len(self._items)}"
        known = self._items.get(key)
        if known is None:
            self._items[key] = item
            if len(self._items) > MAX_ITEMS:
                del self._items[next(iter(self._items))]
            return
        pairs = zip(as_list(known.get("content")), as_list(item.get("content")), strict=False)
        for before, part in pairs:
            if isinstance(before, dict) and isinstance(part, dict):
                for name in ("audio_bytes", "transcript"):
                    part[name] = part.get(name) or before.get(name)
        known.update(item)

    def _transcribe(self, event: dict[str, Json]) -> None:
        item = self._items.get(as_text(event.get("item_id")), {})
        content = as_list(item.get("content"))
        index = as_count(event.get("content_index")) or 0
        if index < len(content) and isinstance(content[index], dict):
            content[index]["transcript"] = event.get("transcript")


def newest(items: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """The last of them, as many as fit into `MAX_TOLD_BYTES`; at least one."""
    left = MAX_TOLD_BYTES
    kept: list[dict[str, Json]] = []
    for item in reversed(items):
        left -= len(encode_json(item))
        if left < 0 and kept:
            break
        kept.append(item)
    return kept[::-1]


def audio_bytes(value: Json) -> int:
    """The length of base64 text when it is undone."""
    return len(value) * 3 // 4 if isinstance(value, str) else 0


def _without_audio(item: dict[str, Json]) -> dict[str, Json]:
    """The item with the size of its audio in its place."""
    parts: list[Json] = []
    for part in as_list(item.get("content")):
        if isinstance(part, dict) and isinstance(part.get("audio"), str):
            part = {**part, "audio_bytes": audio_bytes(part["audio"])}
            del part["audio"]
        parts.append(part)
    return {**item, "content": parts} if parts else dict(item)

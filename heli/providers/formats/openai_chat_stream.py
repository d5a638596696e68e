"""The chunks of a streamed chat completion, put together again."""

from collections.abc import Sequence

from heli.providers.framing import Event
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field

JOINED = ("content", "refusal", "reasoning_content", "reasoning")
"""Fields of a delta that continue each other."""
_LISTED = ("annotations", "reasoning_details", "images")
"""Fields of a delta that add to a list."""
_GROWING = frozenset({"index", "delta", "logprobs"})
"""Fields of a choice that do not simply replace what was told before."""


class _Choice:
    """One choice of a stream while it grows; joined once, so that long streams stay linear."""

    def __init__(self, index: int) -> None:
        self.fields: dict[str, Json] = {"index": index}
        self.message: dict[str, Json] = {"role": "assistant", "content": None}
        self.texts: dict[str, list[str]] = {}
        self.content_items: list[Json] = []
        self.calls: dict[object, dict[str, Json]] = {}
        self.arguments: dict[object, list[str]] = {}
        self.audio: dict[str, Json] = {}
        self.logprobs: list[Json] = []

    def take(self, choice: dict[str, Json]) -> None:
        self._take_delta(as_dict(choice.get("delta")))
        if logprobs := choice.get("logprobs"):
            self.logprobs += as_list(field(logprobs, "content"))
        for name, value in choice.items():
            if value is not None and name not in _GROWING:
                self.fields[name] = value

    def _take_delta(self, delta: dict[str, Json]) -> None:
        for name, value in delta.items():
            if value is None:
                continue
            if name in JOINED and isinstance(value, str):
                self.texts.setdefault(name, []).append(value)
            elif name == "content" and isinstance(value, list):
                self.content_items += value
            elif name == "tool_calls":
                for call in as_list(value):
                    self._take_call(as_dict(call))
            elif name == "function_call":
                self._take_call({"index": "function_call", "function": value})
            elif name == "audio":
                self._take_audio(as_dict(value))
            elif name in _LISTED and isinstance(value, list):
                self.message.setdefault(name, []).extend(value)
            else:
                self.message[name] = value

    def _take_call(self, call: dict[str, Json]) -> None:
        key = call.get("index")
        if not isinstance(key, int | str):
            # Some hosts leave the index out: a call with an id is a new one.
            key = as_text(call.get("id")) or next(reversed(self.calls), "")
        function = as_dict(call.get("function"))
        known = self.calls.get(key)
        if known is None:
            known = {"id": None, "type": "function", "function": {"name": ""}}
            self.calls[key] = known
            self.arguments[key] = []
        for name, value in call.items():
            if name not in ("index", "function") and value:
                known[name] = value
        if function.get("name"):
            known["function"]["name"] = function["name"]
        self.arguments[key].append(as_text(function.get("arguments")))

    def _take_audio(self, audio: dict[str, Json]) -> None:
        for name, value in audio.items():
            if name in ("data", "transcript"):
                self.texts.setdefault(f"audio.{name}", []).append(as_text(value))
            else:
                self.audio[name] = value

    def finish(self) -> dict[str, Json]:
        for name, pieces in self.texts.items():
            text = "".join(pieces)
            if name.startswith("audio."):
                self.audio[name[6:]] = text
            else:
                self.message[name] = text
        if self.content_items:
            text = self.message["content"]
            self.message["content"] = self.content_items + ([{"type": "text", "text": text}] if text else [])
        if self.audio:
            self.message["audio"] = self.audio
        for key, call in self.calls.items():
            call["function"]["arguments"] = "".join(self.arguments[key])
        if "function_call" in self.calls:
            self.message["function_call"] = self.calls.pop("function_call")["function"]
        if self.calls:
            self.message["tool_calls"] = list(self.calls.values())
        self.fields["message"] = self.message
        if self.logprobs:
            self.fields["logprobs"] = {"content": self.logprobs}
        self.fields.setdefault("finish_reason", None)
        return self.fields


def _is_whole(chunk: dict[str, Json]) -> bool:
    return None not in chunk.values() and chunk.get("id") != ""


def _without_blanks(fields: dict[str, Json]) -> dict[str, Json]:
    """Without what tells nothing: Azure's notes on its filters leave id and model empty."""
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def assemble_chat(events: Sequence[Event]) -> Json:
    """The chunks as one `chat.completion`; `None` when there is none."""
    reply: dict[str, Json] = {}
    choices: dict[int, _Choice] = {}
    for event in events:
        chunk = as_dict(event.data)
        reply.update(chunk if _is_whole(chunk) else _without_blanks(chunk))
        for position, each in enumerate(as_list(chunk.get("choices"))):
            fields = as_dict(each)
            index = as_count(fields.get("index"))
            index = position if index is None else index
            choice = choices.get(index) or choices.setdefault(index, _Choice(index))
            choice.take(fields)
    reply.pop("choices", None)
    if not reply and not choices:
        return None
    if choices or "error" not in reply:
        reply["object"] = "chat.completion"
        reply["choices"] = [choices[index].finish() for index in sorted(choices)]
    return reply

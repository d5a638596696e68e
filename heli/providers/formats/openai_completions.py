"""OpenAI's older completions: a text in, its continuation out. Still spoken by local servers and for code."""

from collections.abc import Sequence

from heli.providers.formats.openai_chat import OpenAIChat
from heli.providers.formats.parts import text_part
from heli.providers.framing import Event
from heli.providers.json_values import Json, as_count, as_dict, as_list, as_text, field
from heli.schema.conversation import Conversation, Message


class OpenAICompletions(OpenAIChat):
    operation = "completion"

    def assemble(self, events: Sequence[Event]) -> Json:
        return _assemble(events)

    def begins_answer(self, event: Event) -> bool:
        return any(field(choice, "text") for choice in as_list(field(event.data, "choices")))

    def read_conversation(self, request: Json, reply: Json) -> Conversation:
        asked = as_dict(request)
        prompts = texts_of(asked.get("prompt"))
        if suffix := as_text(asked.get("suffix")):
            prompts.append(suffix)
        return Conversation(
            messages=[Message(role="user", parts=[text_part(prompt)]) for prompt in prompts],
            reply=[
                Message(role="assistant", parts=[text_part(as_text(field(choice, "text")))])
                for choice in as_list(field(reply, "choices"))
            ],
        )


def texts_of(value: Json) -> list[str]:
    """A text, or the texts of a list; lists of token numbers hold none."""
    if isinstance(value, str):
        return [value]
    return [each for each in as_list(value) if isinstance(each, str)]


def _assemble(events: Sequence[Event]) -> Json:
    reply: dict[str, Json] = {}
    choices: dict[int, dict[str, Json]] = {}
    texts: dict[int, list[str]] = {}
    for event in events:
        for name, value in as_dict(event.data).items():
            if name != "choices":
                if value is not None:
                    reply[name] = value
                continue
            for position, each in enumerate(as_list(value)):
                index = as_count(field(each, "index"))
                index = position if index is None else index
                choice = choices.setdefault(index, {"index": index})
                choice.update({key: item for key, item in as_dict(each).items() if item is not None})
                texts.setdefault(index, []).append(as_text(field(each, "text")))
    if not reply and not choices:
        return None
    if choices or "error" not in reply:
        for index, choice in choices.items():
            choice["text"] = "".join(texts[index])
        reply["choices"] = [choices[index] for index in sorted(choices)]
    return reply

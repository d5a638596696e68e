"""A conversation in a line or in plain text: what lists show and what search looks in."""

import itertools
from collections.abc import Iterable, Sequence

from heli.schema.conversation import Conversation, Message, Part, PartKind

PREVIEW_CHARACTERS = 300
TEXT_BYTES = 16 * 1024
WORD_CHARACTERS = 256
_MOST_TOOL_CALLS = 1000
_LOOK_AHEAD = 4
"""Of text that is mostly blanks, this many times the length of a preview is looked at."""

_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), 0x2028, 0x2029), " ")
_CONTROLS |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF), "")
"""Control characters, and those that turn the direction of text around."""

_NAMES = {PartKind.IMAGE: "[image]", PartKind.AUDIO: "[audio]", PartKind.FILE: "[file]"}


def one_line(text: str, limit: int = PREVIEW_CHARACTERS) -> str:
    """At most `limit` characters on one line, runs of blanks as one."""
    line = ""
    for looked_at in (limit + limit // 4, limit * _LOOK_AHEAD):  # mostly a little more than shown will do
        head = text[:looked_at]
        if not head.isprintable():  # mostly it is, and looking is much quicker than replacing
            head = head.translate(_CONTROLS)
        line = " ".join(head.split())
        if len(line) > limit:
            return line[: limit - 1].rstrip() + "…"
        if len(text) <= looked_at:
            break
    return line


def word(text: str) -> str:
    """A name from outside: whole where it is one, cut and cleaned where somebody plays tricks."""
    return text if len(text) <= WORD_CHARACTERS and text.isprintable() else one_line(text, WORD_CHARACTERS)


def request_preview(conversation: Conversation) -> str:
    """What the user said last; the last tool result where that is what the model was asked to go on from."""
    for message in reversed(conversation.messages):
        if message.role not in ("user", "tool", "function"):
            continue
        if text := _last_said(message.parts):
            return one_line(text)
    rest = [_shown(part) for message in conversation.messages for part in message.parts]
    return one_line(" ".join(text for text in rest[-3:] if text))


def _last_said(parts: Sequence[Part]) -> str:
    """The last words, as a caller's own reminders often come before those that matter; else the media."""
    media = ""
    for part in reversed(parts):
        text = _shown(part)
        if text and (part.kind not in _NAMES or part.text):
            return text
        media = media or text
    return media


def response_preview(conversation: Conversation) -> str:
    """The reply's words, or the tools that it calls."""
    words: list[str] = []
    calls: list[str] = []
    thoughts: list[str] = []
    for message in conversation.reply:
        for part in message.parts:
            if part.kind is PartKind.TOOL_CALL:
                calls.append(_shown(part))
            elif part.kind is PartKind.THINKING:
                thoughts.append(part.text[:PREVIEW_CHARACTERS])
            elif text := _shown(part):
                words.append(text)
    return one_line(
        " ".join(each[: PREVIEW_CHARACTERS * _LOOK_AHEAD] for each in (words + calls or thoughts)[:8])
    )


def _shown(part: Part) -> str:
    if part.kind is PartKind.TEXT:
        return part.text
    match part.kind:
        case PartKind.TOOL_CALL:
            return f"⚒ {part.name} {part.text[: PREVIEW_CHARACTERS * 2]}".rstrip()
        case PartKind.TOOL_RESULT:
            return f"↩ {part.text[: PREVIEW_CHARACTERS * _LOOK_AHEAD]}" if part.text else ""
        case PartKind.IMAGE | PartKind.FILE:
            return _NAMES[part.kind]
        case PartKind.AUDIO:
            return part.text or _NAMES[part.kind]
        case _:
            return ""


def request_text(conversation: Conversation) -> str:
    """All that was said to the model; of a long conversation its end, as earlier requests hold the rest."""
    system = Message(role="system", parts=list(conversation.system))
    return _newest([system, *conversation.messages])


def response_text(conversation: Conversation) -> str:
    return _newest(conversation.reply)


def _newest(messages: Sequence[Message]) -> str:
    texts: list[str] = []
    left = TEXT_BYTES
    for part in _backwards(messages):
        text = f"{part.name} {part.text}" if part.kind is PartKind.TOOL_CALL else part.text
        if not text:
            continue
        texts.append(text[-left:])
        left -= len(texts[-1]) + 1
        if left <= 0:
            break
    joined = "\n".join(reversed(texts))
    if joined.isascii() and len(joined) <= TEXT_BYTES:
        return joined
    return joined.encode("utf-8", "replace")[-TEXT_BYTES:].decode("utf-8", "ignore")


def _backwards(messages: Sequence[Message]) -> Iterable[Part]:
    for message in reversed(messages):
        for part in reversed(message.parts):
            if part.kind is not PartKind.OTHER:
                yield part


def tool_names(conversation: Conversation) -> list[str]:
    """The tools that the reply calls, in order; at most a thousand."""
    parts = (part for message in conversation.reply for part in message.parts)
    calls = (word(part.name) for part in parts if part.kind is PartKind.TOOL_CALL)
    return list(itertools.islice(calls, _MOST_TOOL_CALLS))

"""How many tokens a text might have, for calls whose provider did not tell. A guess, and said to be one.

Tokenizers differ between models and are large downloads, so heli counts classes of characters instead: pieces
of words, numbers by three digits, punctuation by two, lines, and the letters of other scripts by weight. The
tests hold it to published counts within a third. Images and audio are not counted.
"""

import re
from collections.abc import Iterable

from heli.providers.json_values import encode_json
from heli.schema.conversation import Conversation, Message, Part, PartKind

_WORD_PIECES = re.compile(r"[A-Za-z]{1,8}")
_DIGITS = re.compile(r"[0-9]{1,3}")
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]{1,2}")
_LINES = re.compile(r"\n+[ \t]*")
_EAST_ASIAN = re.compile(r"[぀-ヿ㐀-鿿가-힯豈-﫿\U00020000-\U0003ffff]")
_OTHER = re.compile(r"[^\x00-\x7f぀-ヿ㐀-鿿가-힯豈-﫿\U00020000-\U0003ffff]")

_EAST_ASIAN_TOKENS = 0.8
_OTHER_TOKENS = 0.45
_PUNCTUATION_TOKENS = 0.85

_SAMPLE = 16 * 1024
_SAMPLES = 16
_MESSAGE_OVERHEAD = 4
"""Tokens by which the provider's own template marks each message."""


def estimate_tokens(text: str) -> int:
    """Tokens in `text`; a long text is judged by samples, so that the time stays bounded."""
    if not text:
        return 0
    if len(text) <= _SAMPLE * _SAMPLES:
        return max(1, round(_weigh(text)))
    step = len(text) // _SAMPLES
    samples = [text[start : start + _SAMPLE] for start in range(0, step * _SAMPLES, step)]
    return round(sum(map(_weigh, samples)) * len(text) / sum(map(len, samples)))


def _weigh(text: str) -> float:
    tokens = float(
        len(_WORD_PIECES.findall(text)) + len(_DIGITS.findall(text)) + len(_LINES.findall(text))
    ) + _PUNCTUATION_TOKENS * len(_PUNCTUATION.findall(text))
    if not text.isascii():
        tokens += _EAST_ASIAN_TOKENS * len(_EAST_ASIAN.findall(text))
        tokens += _OTHER_TOKENS * len(_OTHER.findall(text))
    return tokens


def estimate_input(conversation: Conversation) -> int:
    """Tokens of all that the model was given to read."""
    tokens = _estimate_parts(conversation.system)
    tokens += sum(_estimate_message(message) for message in conversation.messages)
    for tool in conversation.tools:
        tokens += estimate_tokens(f"{tool.name} {tool.description} {encode_json(tool.parameters)}")
    return tokens


def estimate_output(messages: Iterable[Message]) -> tuple[int, int]:
    """Tokens of a reply: `(visible, thinking)`."""
    visible = thinking = 0
    for message in messages:
        for part in message.parts:
            tokens = _estimate_part(part)
            if part.kind is PartKind.THINKING:
                thinking += tokens
            else:
                visible += tokens
    return visible, thinking


def _estimate_message(message: Message) -> int:
    return _MESSAGE_OVERHEAD + _estimate_parts(message.parts)


def _estimate_parts(parts: Iterable[Part]) -> int:
    return sum(map(_estimate_part, parts))


def _estimate_part(part: Part) -> int:
    tokens = estimate_tokens(part.text)
    return tokens + estimate_tokens(part.name) if part.kind is PartKind.TOOL_CALL else tokens

"""Tools that a reply calls, and results that a request brings back: what joins one turn to the next."""

import msgspec

from heli.providers.previews import one_line, word
from heli.schema.conversation import Conversation, Part, PartKind
from heli.schema.session import ToolCall, ToolResult

MOST = 1000
SHOWN_CHARACTERS = 200


class ToolUses(msgspec.Struct, frozen=True, gc=False):
    """Both sides of one request."""

    calls: list[ToolCall] = []
    results: list[ToolResult] = []
    """Only those that are new with this request: what came before was told by the requests before."""


def tool_uses(conversation: Conversation) -> ToolUses:
    """What can be paired: calls and results that have an id."""
    calls = [
        ToolCall(id=word(part.call_id), name=word(part.name), input=one_line(part.text, SHOWN_CHARACTERS))
        for message in conversation.reply
        for part in message.parts
        if part.kind is PartKind.TOOL_CALL and part.call_id
    ]
    results = [
        ToolResult(
            id=word(part.call_id),
            text=one_line(part.text, SHOWN_CHARACTERS),
            characters=len(part.text),
            is_error=part.is_error,
        )
        for part in _newest_results(conversation)
    ]
    return ToolUses(calls[:MOST], results[-MOST:])


def _newest_results(conversation: Conversation) -> list[Part]:
    found: list[Part] = []
    for message in reversed(conversation.messages):
        if message.role in ("assistant", "model"):
            break
        results = [part for part in message.parts if part.kind is PartKind.TOOL_RESULT and part.call_id]
        found[:0] = results
    return found

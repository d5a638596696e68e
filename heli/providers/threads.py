"""How a call is known to go on from an earlier one, by keys that any backend computes alike.

A call leaves keys: of its messages, of its messages with the reply, of the reply's id. A later call follows
them when its own messages begin so, or when it names the reply. Whole texts are hashed, never kept.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from heli.providers.agents import AgentMarks
from heli.schema.conversation import Conversation, Message, PartKind

MAX_BOUNDARIES = 24
"""Of a long conversation, the turns before its end that are compared."""
_SAID_BY_NOBODY = frozenset({"system", "developer"})
_MODEL = frozenset({"assistant", "model"})
_LEFT_OUT = frozenset({PartKind.THINKING, PartKind.OTHER})
"""Kinds that clients do not send back as they came."""


class Thread(msgspec.Struct, frozen=True, gc=False):
    """Numbers below 2**63; odd ones are sure, even ones are those of a question whose reply may differ."""

    keys: list[int] = []
    """What this call may be followed by."""
    follows: list[int] = []
    """The keys of calls that it may go on from, the best first."""


NO_THREAD = Thread()


def thread_of(
    conversation: Conversation, marks: AgentMarks, reply_id: str, previous_id: str, connection: str = ""
) -> Thread:
    """`reply_id` and `previous_id` are the provider's ids, of this reply and of the one that is continued;
    `connection` is the WebSocket's that carried the call, if one did."""
    shared = [
        _word_key(kind, value)
        for kind, value in (
            ("socket", connection),
            ("cache", marks.cache_key),
            ("trace", marks.trace_id),
        )
        if value
    ]
    keys = [_word_key("reply", reply_id), *shared] if reply_id else list(shared)
    follows = [_word_key("reply", previous_id), *shared] if previous_id else list(shared)
    parts = list(_parts(conversation.messages))
    if not parts or previous_id:
        return Thread(keys, follows) if keys or follows else NO_THREAD
    chain = _Chain()
    sure: list[int] = []
    vague: list[int] = []
    for is_model, part in parts:
        if chain.is_begun and is_model != chain.is_model:
            (sure if chain.is_model else vague).append(chain.key(is_sure=chain.is_model))
        chain.add(is_model, part)
    keys.append(chain.key(is_sure=False))
    for _, part in _parts(conversation.reply):
        chain.add(True, part)
    if chain.is_model:
        keys.append(chain.key(is_sure=True))
    follows += sure[: -MAX_BOUNDARIES - 1 : -1] + vague[: -MAX_BOUNDARIES - 1 : -1]
    return Thread(keys, follows)


class _Chain:
    """A hash of all parts so far."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=8, person=b"heli thread")
        self.is_begun = False
        self.is_model = False
        """Whether the last part was the model's."""

    def add(self, is_model: bool, part: bytes) -> None:
        self.is_begun, self.is_model = True, is_model
        self._digest.update(b"%d %d " % (is_model, len(part)) + part)

    def key(self, *, is_sure: bool) -> int:
        return _number(self._digest.digest(), is_sure)


def _word_key(kind: str, value: str) -> int:
    digest = hashlib.blake2b(f"{kind} {value}".encode("utf-8", "replace"), digest_size=8, person=b"heli word")
    return _number(digest.digest(), True)


def _number(digest: bytes, is_sure: bool) -> int:
    return (int.from_bytes(digest) >> 2 << 1) | is_sure


def _parts(messages: Iterable[Message]) -> Iterable[tuple[bool, bytes]]:
    """`(whether the model said it, what)`, without what clients change or leave out."""
    for message in messages:
        if message.role in _SAID_BY_NOBODY:
            continue
        for part in message.parts:
            if part.kind in _LEFT_OUT:
                continue
            text = part.text.strip()
            if part.kind is PartKind.TOOL_CALL and part.call_id:
                text = ""  # clients write the arguments anew
            words = "\0".join((part.kind, part.call_id, part.name if not part.call_id else "", text))
            if text or part.call_id or part.kind is not PartKind.TEXT:
                yield message.role in _MODEL, words.encode("utf-8", "replace")

"""A conversation: what was said in one request and its reply, in words that no provider owns."""

import enum
from typing import Any

import msgspec


class PartKind(enum.StrEnum):
    """What a piece of a message is."""

    TEXT = "text"
    THINKING = "thinking"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    IMAGE = "image"
    AUDIO = "audio"
    FILE = "file"
    OTHER = "other"


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One piece of a message."""

    kind: PartKind
    text: str = ""
    """The words; the arguments of a tool call and the kind of an `other` as JSON; a transcript of audio."""
    name: str = ""
    """The tool's or the file's name."""
    call_id: str = ""
    """Which tool call this is, or answers."""
    media_type: str = ""
    """`image/png`, when it was told."""
    url: str = ""
    """Where an image or file lies; never its data."""
    data_bytes: int | None = None
    """How large inline data is, before base64 is undone."""
    is_error: bool = False
    """The tool failed."""


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one side said at one time."""

    role: str
    """`system`, `user`, `assistant` or `tool`; another word where a provider has its own."""
    parts: list[Part] = []


class ToolDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A tool that the model was offered."""

    name: str
    description: str = ""
    parameters: Any = None
    """Its JSON schema, as the caller sent it."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request's messages in order, and the reply's: one for each choice, usually one."""

    system: list[Part] = []
    """Instructions that stand outside of the messages."""
    messages: list[Message] = []
    reply: list[Message] = []
    tools: list[ToolDefinition] = []

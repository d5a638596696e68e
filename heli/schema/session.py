"""A session: the calls of one run or conversation, as the tree of agents that made them."""

import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from heli.schema.request import Request


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tool that a reply calls."""

    id: str
    name: str
    input: str = ""
    """Its arguments, at most 200 characters on one line."""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a later request brings back from it."""

    id: str
    """The call's."""
    text: str = ""
    """At most 200 characters on one line."""
    characters: int = 0
    is_error: bool = False


class ToolPair(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a tool with its result."""

    id: str
    name: str
    input: str = ""
    result: str | None = None
    """`None` while no request of the session has brought it."""
    result_characters: int | None = None
    is_error: bool = False
    result_request_id: UUID | None = None
    """The request that brought it."""
    ran_ms: float | None = None
    """From the end of the reply that called the tool to the request that brought its result."""


class SessionCall(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a session, with the tools that its reply calls."""

    request: Request
    tools: list[ToolPair] = []


class SessionTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What some calls came to. The counts of tokens do not overlap; `None` when nobody told."""

    requests: int = 0
    cost_usd: Decimal | None = None
    """The sum of what is known."""
    unknown_cost_requests: int = 0
    input_tokens: int | None = None
    """Uncached."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    errors: int = 0
    tool_calls: int = 0


class SessionNode(msgspec.Struct, frozen=True, kw_only=True):
    """An agent, or a place in the caller's own path, with those below it."""

    name: str
    """What it calls itself, else the last segment of its path; `main` for the root."""
    path: str
    agent_id: str = ""
    program: str = ""
    calls: list[SessionCall] = []
    """Its own, oldest first."""
    children: list["SessionNode"] = []
    own: SessionTotals = SessionTotals()
    total: SessionTotals = SessionTotals()
    """With all below it."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One session as a tree."""

    id: str
    name: str = ""
    started_at: datetime.datetime
    ended_at: datetime.datetime | None = None
    """When the last of its calls that ended did so."""
    agents: int
    """Nodes that made calls."""
    total: SessionTotals
    root: SessionNode
    is_cut: bool = False
    """There are more calls than are shown; the totals are of those shown."""

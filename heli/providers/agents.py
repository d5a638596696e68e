"""What agents tell of themselves on the wire: their session, which agent is calling, and who started it.

All that depends on one client program is in the table here. A source is a header (`h:name`), a place in the
request's JSON (`b:path`), or a place in a JSON text that one of those holds (`h:name > path`). The first that
tells something counts.
"""

import re

import msgspec

from heli.providers.json_values import Json, as_text, decode_json, field
from heli.providers.previews import word
from heli.schema.exchange import Headers


class AgentProgram(msgspec.Struct, frozen=True, kw_only=True):
    """One client program, by what shows it and by where it says what."""

    name: str
    marks: tuple[str, ...]
    """Sources of which one must tell something."""
    user_agent: str = ""
    """How its `User-Agent` begins, in lower case; another way of knowing it."""
    session: tuple[str, ...] = ()
    agent: tuple[str, ...] = ()
    """Which agent calls. Where it is the same as the session, it is the main one."""
    parent: tuple[str, ...] = ()
    agent_name: tuple[str, ...] = ()


PROGRAMS = (
    AgentProgram(
        name="claude-code",
        marks=("h:x-claude-code-session-id", "h:x-claude-code-agent-id"),
        user_agent="claude-cli/",
        session=(
            "h:x-claude-code-session-id",
            "b:metadata.user_id > session_id",
            "b:metadata.user_id ~ _session_",
        ),
        agent=("h:x-claude-code-agent-id",),
        parent=("h:x-claude-code-parent-agent-id",),
        agent_name=("h:x-claude-code-agent-type",),
    ),
    AgentProgram(
        name="codex",
        marks=(
            "h:x-codex-turn-metadata",
            "h:x-codex-window-id",
            "h:x-codex-parent-thread-id",
            "h:x-codex-installation-id",
            "b:client_metadata.x-codex-turn-metadata",
            "b:client_metadata.x-codex-installation-id",
        ),
        user_agent="codex",
        session=(
            "b:client_metadata.session_id",
            "h:session-id",
            "h:session_id",
            "h:x-codex-turn-metadata > session_id",
            "h:conversation_id",
            "h:conversation-id",
            "b:client_metadata.thread_id",
            "h:thread-id",
            "h:x-client-request-id",
            "b:prompt_cache_key",
        ),
        agent=(
            "b:client_metadata.thread_id",
            "h:thread-id",
            "h:thread_id",
            "h:x-codex-turn-metadata > thread_id",
            "h:conversation_id",
            "h:conversation-id",
        ),
        parent=(
            "b:client_metadata.x-codex-parent-thread-id",
            "h:x-codex-parent-thread-id",
            "h:x-codex-turn-metadata > parent_thread_id",
            "h:x-codex-turn-metadata > forked_from_thread_id",
        ),
        agent_name=("b:client_metadata.x-openai-subagent", "h:x-openai-subagent"),
    ),
    AgentProgram(
        name="gemini-cli",
        marks=("h:x-gemini-api-privileged-user-id",),
        user_agent="geminicli",
        session=("b:request.session_id", "b:session_id", "h:x-session-id"),
    ),
)

MAX_ID_CHARACTERS = 128
_OLD_SESSION = re.compile(r"_session_([0-9a-fA-F-]{8,64})$")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NOT_IN_SEGMENT = re.compile(r"[/\s\x00-\x1f\x7f]+")


class AgentMarks(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a call tells of who makes it; empty where it does not."""

    program: str = ""
    session_id: str = ""
    """The agent's own name for its session."""
    agent_id: str = ""
    """Empty for the main agent."""
    parent_agent_id: str = ""
    """Who started this agent; empty when that is the main agent, or nobody told."""
    agent_name: str = ""
    trace_id: str = ""
    """Of W3C's `traceparent`."""
    span_id: str = ""
    conversation_id: str = ""
    """The `conversation` of the Responses API, which the provider keeps."""
    cache_key: str = ""
    """The `prompt_cache_key`, where it looks as if it were one conversation's: a UUID."""


NO_MARKS = AgentMarks()


def read_agent(headers: Headers, request: Json) -> AgentMarks:
    """What headers and body say. `request` may be anything."""
    told = {
        name.lower().decode("latin-1"): value.decode("utf-8", "replace").strip() for name, value in headers
    }
    trace = _TRACE.fullmatch(told.get("traceparent", "").lower())
    conversation = field(request, "conversation")
    cache_key = as_text(field(request, "prompt_cache_key"))
    shared = {
        "trace_id": trace[1] if trace else "",
        "span_id": trace[2] if trace else "",
        "conversation_id": _clean(as_text(conversation) or as_text(field(conversation, "id"))),
        "cache_key": cache_key if _UUID.fullmatch(cache_key) else "",
    }
    user_agent = told.get("user-agent", "").lower()
    for program in PROGRAMS:
        is_named = bool(program.user_agent) and user_agent.startswith(program.user_agent)
        if is_named or _first(program.marks, told, request):
            return AgentMarks(**shared, **_marks_of(program, told, request))
    return AgentMarks(**shared) if any(shared.values()) else NO_MARKS


def _marks_of(program: AgentProgram, told: dict[str, str], request: Json) -> dict[str, str]:
    session_id = _first(program.session, told, request)
    agent_id = _first(program.agent, told, request)
    parent_id = _first(program.parent, told, request)
    agent_id = "" if agent_id == session_id else agent_id
    return {
        "program": program.name,
        "session_id": session_id,
        "agent_id": agent_id,
        "parent_agent_id": parent_id if agent_id and parent_id not in (session_id, agent_id) else "",
        "agent_name": word(_first(program.agent_name, told, request)) if agent_id else "",
    }


def _first(sources: tuple[str, ...], told: dict[str, str], request: Json) -> str:
    return next((found for source in sources if (found := _clean(_look(source, told, request)))), "")


def _look(source: str, told: dict[str, str], request: Json) -> str:
    place, _, inner = source.partition(" > ")
    place, _, old = place.partition(" ~ ")
    value = told.get(place[2:], "") if place.startswith("h:") else _text_at(request, place[2:])
    if old:
        match = _OLD_SESSION.search(value)
        return match[1] if match else ""
    if inner and value:
        return _text_at(decode_json(value.encode("utf-8", "replace")), inner) if value[:1] == "{" else ""
    return value


def _text_at(value: Json, path: str) -> str:
    return as_text(field(value, *path.split(".")))


def _clean(text: str) -> str:
    return word(text.strip())[:MAX_ID_CHARACTERS].replace("\0", "")


def segment(agent_id: str) -> str:
    """An agent's id as a segment of a session's path: short where it is a UUID, and without a slash."""
    if _UUID.fullmatch(agent_id):
        return agent_id[-8:]  # ids that count by time begin alike
    return _NOT_IN_SEGMENT.sub("_", agent_id)[:64]


# Calls that an agent makes beside those to its model

_SIDE_CALLS = re.compile(r"^/(?:$|api/|mcp-registry/|v1/(?:code|sessions|environments|oauth)(?:/|$))")


def is_side_call(origin_host: str, path: str) -> bool:
    """Whether a call to a provider's host is housekeeping of Claude Code (telemetry, settings, checks)."""
    return origin_host == "ANTHROPIC" and _SIDE_CALLS.match(path.partition("?")[0]) is not None

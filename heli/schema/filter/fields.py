"""What can be asked for: the table of the filter language's fields, for the parser, completion and help."""

import difflib
import enum

import msgspec


class Kind(enum.StrEnum):
    """What values a field takes, and by which rules they are compared."""

    TEXT = "text"
    """`=`, `*` as wildcard."""
    SEARCH = "words"
    """Contained anywhere, in any case."""
    LIST = "list"
    """Text; holds when one of the list's members is like that."""
    SESSION = "session"
    """A session's id or name, or what lists show of it, `0199f3a2/tests`."""
    ID = "id"
    """A request's id, or how it begins."""
    NUMBER = "number"
    STATUS = "status"
    """A number, or a class of them, `4xx`."""
    MONEY = "dollars"
    DURATION = "duration"
    FLAG = "yes or no"
    SINCE = "time"
    UNTIL = "time, not included"
    PROPERTY = "property"
    SCORE = "score"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the language."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    """Fields of the table `request_response_rmt`; with several, one of them must fit, or all be empty."""
    description: str
    example: str
    aliases: tuple[str, ...] = ()
    case: str = ""
    """`upper` or `lower` when the column only holds such text, `any` when it may hold either.
    Otherwise a value counts as it is written."""
    is_nullable: bool = False
    """The value may be unknown, which neither a comparison nor equality then finds."""
    is_set: bool = True
    """False while nothing in heli sets it: it is understood, and help does not offer it."""


def _field(
    name: str,
    kind: Kind,
    columns: str,
    description: str,
    example: str,
    aliases: str = "",
    case: str = "",
    is_nullable: bool = False,
    is_set: bool = True,
) -> Field:
    return Field(
        name=name,
        kind=kind,
        columns=tuple(columns.split()),
        description=description,
        example=example,
        aliases=tuple(aliases.split()),
        case=case,
        is_nullable=is_nullable,
        is_set=is_set,
    )


FIELDS: tuple[Field, ...] = (
    _field(
        "model",
        Kind.TEXT,
        "model request_model",
        "the model that was asked for, or that answered",
        "model:gpt-4o*",
    ),
    _field(
        "provider", Kind.TEXT, "provider", "who served the call", "provider:anthropic,openai", case="upper"
    ),
    _field(
        "operation",
        Kind.TEXT,
        "operation",
        "chat, response, embedding, …",
        "operation:embedding",
        "op",
        "lower",
    ),
    _field(
        "status",
        Kind.STATUS,
        "http_status",
        "the HTTP status that the caller got",
        "status:4xx,5xx",
        is_nullable=True,
    ),
    _field(
        "outcome",
        Kind.TEXT,
        "outcome",
        "complete, client_aborted, upstream_error, timeout, refused or interrupted",
        "outcome:client_aborted",
        case="lower",
    ),
    _field(
        "error",
        Kind.TEXT,
        "error_class",
        "what kind of error it was; error:* for any",
        "error:rate_limit",
        case="lower",
    ),
    _field(
        "error.message",
        Kind.SEARCH,
        "error_message",
        "words of the error message",
        'error.message:"too long"',
        "message",
    ),
    _field(
        "finish",
        Kind.TEXT,
        "finish_reason",
        "why the model stopped",
        "finish:length,max_tokens",
        "finish_reason",
        "any",
    ),
    _field("user", Kind.TEXT, "user_id", "the user that the caller named", "user:alice"),
    _field(
        "session",
        Kind.SESSION,
        "session_id session_name session_path",
        "the session, as lists show it, or by its id",
        "session:run-17",
    ),
    _field("session.name", Kind.TEXT, "session_name", "the session's name", "session.name:nightly*"),
    _field(
        "session.path", Kind.TEXT, "session_path", "the place in the session's tree", "session.path:/plan/*"
    ),
    _field("agent", Kind.TEXT, "agent_name agent_id", "the agent that made the call", "agent:tests"),
    _field(
        "agent.program",
        Kind.TEXT,
        "agent_program",
        "claude-code, codex or gemini-cli",
        "agent.program:codex",
        "program",
        "lower",
    ),
    _field("trace", Kind.TEXT, "trace_id", "the trace of the call's traceparent", "trace:4bf92f35*"),
    _field(
        "prop",
        Kind.PROPERTY,
        "properties",
        "a property that the caller set; prop:env when it is set at all",
        "prop.env:prod",
        "property properties",
    ),
    _field(
        "score",
        Kind.SCORE,
        "scores",
        "a score; score:quality when there is one at all",
        "score.quality>=0",
        "scores",
        is_set=False,
    ),
    _field("id", Kind.ID, "request_id", "the request's id, or how it begins", "id:019a"),
    _field("prompt", Kind.TEXT, "prompt_id", "the prompt that the caller named", "prompt:greet"),
    _field("path", Kind.TEXT, "path", "path and query of the call", "path:/v1/chat/*"),
    _field(
        "origin",
        Kind.TEXT,
        "origin",
        "where the call was sent",
        "origin:https://api.openai.com",
        "host",
        "lower",
    ),
    _field(
        "listener",
        Kind.TEXT,
        "listener",
        "the way it came in: openai, anthropic, gateway or intercept",
        "listener:intercept",
        case="lower",
    ),
    _field("tier", Kind.TEXT, "service_tier", "the provider's service tier", "tier:flex", case="any"),
    _field("tool", Kind.LIST, "tool_calls", "a tool that the reply calls", "tool:read_*", "tools"),
    _field(
        "request",
        Kind.SEARCH,
        "request_text request_preview",
        "words of the question",
        'request:"refund policy"',
        "question",
    ),
    _field(
        "response",
        Kind.SEARCH,
        "response_text response_preview",
        "words of the reply",
        "response:sorry",
        "reply",
    ),
    _field("stream", Kind.FLAG, "is_streaming", "whether the reply was streamed", "stream:true", "streaming"),
    _field(
        "cached",
        Kind.FLAG,
        "cached",
        "whether heli's cache answered",
        "cached:true",
        is_set=False,
    ),
    _field(
        "cost",
        Kind.MONEY,
        "cost_usd",
        "dollars; cost:unknown when there is no price",
        "cost>0.01",
        is_nullable=True,
    ),
    _field(
        "cost.state",
        Kind.TEXT,
        "cost_state",
        "exact, estimated, unknown, free or cached",
        "cost.state:estimated",
        case="lower",
    ),
    _field(
        "took",
        Kind.DURATION,
        "duration_ms",
        "from the request's first byte to the end of the reply",
        "took>2s",
        "duration latency",
        is_nullable=True,
    ),
    _field(
        "ttft", Kind.DURATION, "ttft_ms", "time to the reply's first token", "ttft>800ms", is_nullable=True
    ),
    _field("tokens", Kind.NUMBER, "usage_total", "all tokens, in and out", "tokens>100k", is_nullable=True),
    _field(
        "in",
        Kind.NUMBER,
        "usage_total_input",
        "input tokens, cached ones included",
        "in>50k",
        "input",
        is_nullable=True,
    ),
    _field(
        "out",
        Kind.NUMBER,
        "usage_total_output",
        "output tokens, reasoning included",
        "out>500",
        "output",
        is_nullable=True,
    ),
    _field("reasoning", Kind.NUMBER, "usage_reasoning", "reasoning tokens", "reasoning>2k", is_nullable=True),
    _field(
        "cache.read",
        Kind.NUMBER,
        "usage_cache_read",
        "input tokens read from the provider's cache",
        "cache.read>0",
        is_nullable=True,
    ),
    _field(
        "cache.write",
        Kind.NUMBER,
        "usage_cache_write",
        "input tokens written to the provider's cache",
        "cache.write>0",
        is_nullable=True,
    ),
    _field(
        "since",
        Kind.SINCE,
        "request_created_at",
        "from then on: 2h, 3d, today, 2026-11-01, 14:30, …",
        "since:2h",
        "from",
    ),
    _field(
        "until",
        Kind.UNTIL,
        "request_created_at",
        "before then; a date is its first moment",
        "until:2026-11-02",
        "before",
    ),
)
"""All fields, in the order in which help shows them."""

SEARCHED = ("request_text", "response_text", "request_preview", "response_preview")
"""Where words without a field are looked for."""

_BY_NAME = {name: field for field in FIELDS for name in (field.name, *field.aliases)}


def find_field(name: str) -> tuple[Field, str] | None:
    """The field of a name as it was typed, with the key in it: `prop.env` is the field `prop` and `env`."""
    if field := _BY_NAME.get(name.lower()):
        return field, ""
    base, dot, key = name.partition(".")
    field = _BY_NAME.get(base.lower())
    if field and dot and key and field.kind in (Kind.PROPERTY, Kind.SCORE):
        return field, key
    return None


def nearest_field(name: str) -> str:
    """The field that was probably meant, or nothing."""
    close = difflib.get_close_matches(name.lower()[:40], _BY_NAME, n=1, cutoff=0.6)
    return _BY_NAME[close[0]].name if close else ""

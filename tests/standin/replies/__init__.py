"""Replies in each provider's shape. A maker takes the request and returns a `Reply`; framing comes later."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.standin.asked import request_id
from tests.standin.scenario import Scenario

type Maker = Callable[["Call", Scenario], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, read whole (the body at most to `MAX_BODY`, the rest is only hashed)."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case; the last of several wins."""
    body: bytes = b""
    body_sha256: str = ""

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def id(self) -> str:
        return request_id(self.method.encode(), self.target.encode(), self.body)

    def json(self) -> dict[str, Any]:
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Either a body or a stream of events, each with its framing of SSE or lines already around it."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    events: list[bytes] | None = None


def to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_reply(value: Any, *headers: tuple[str, str], status: int = 200) -> Reply:
    return Reply(status=status, headers=[("content-type", "application/json"), *headers], body=to_json(value))


def sse_reply(events: list[bytes], *headers: tuple[str, str]) -> Reply:
    content_type = ("content-type", "text/event-stream; charset=utf-8")
    return Reply(headers=[content_type, ("cache-control", "no-cache"), *headers], events=events)


def sse(value: Any, event: str = "") -> bytes:
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + (value if isinstance(value, bytes) else to_json(value)) + b"\n\n"


def with_usage(usage: dict[str, Any], scenario: Scenario) -> dict[str, Any] | None:
    """The provider's usage object as the scenario wants it; `None` for none."""
    if scenario.usage is None:
        return None
    return usage | scenario.usage if isinstance(scenario.usage, dict) else usage


def bare_model(name: Any) -> str:
    """The model without the scenario after `#`."""
    return str(name or "").split("#", 1)[0]


def make_reply(call: Call, scenario: Scenario) -> Reply:
    from tests.standin.replies import anthropic, gemini, ollama, openai, openai_responses

    makers: list[tuple[str, Maker]] = [
        ("/chat/completions", openai.chat),
        ("/completions", openai.completion),
        ("/embeddings", openai.embedding),
        ("/responses", openai_responses.response),
        ("/messages/count_tokens", anthropic.count),
        ("/messages", anthropic.message),
        (":generateContent", gemini.generate),
        (":streamGenerateContent", gemini.stream),
        (":countTokens", gemini.count),
        (":embedContent", gemini.embedding),
        ("/api/chat", ollama.chat),
        ("/api/generate", ollama.generate),
        ("/models", openai.models),
    ]
    for ending, maker in makers:
        if call.path.endswith(ending):
            return maker(call, scenario)
    return echo(call, scenario)


def echo(call: Call, scenario: Scenario) -> Reply:
    """For a path that no provider has: what came in."""
    told = {
        "method": call.method,
        "target": call.target,
        "body_bytes": len(call.body),
        "sha256": call.body_sha256,
    }
    if scenario.status >= 400:
        told = {"error": {"message": f"the scenario asked for {scenario.status}"}}
    return json_reply(told, status=scenario.status)

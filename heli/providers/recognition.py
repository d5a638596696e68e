"""Which provider a call went to and in which wire format: by host, then by path, then by the body."""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import parse_qs, unquote, urlsplit

from heli.providers.agents import is_side_call
from heli.providers.formats.anthropic_messages import AnthropicCountTokens, AnthropicMessages
from heli.providers.formats.format import Format
from heli.providers.formats.gemini import GeminiCountTokens, GeminiEmbed, GeminiGenerate
from heli.providers.formats.ollama import OllamaChat, OllamaEmbed, OllamaGenerate
from heli.providers.formats.opaque import Opaque
from heli.providers.formats.openai_chat import OpenAIChat
from heli.providers.formats.openai_completions import OpenAICompletions
from heli.providers.formats.openai_embeddings import OpenAIEmbeddings
from heli.providers.formats.openai_images import OpenAIImages
from heli.providers.formats.openai_realtime import OpenAIRealtime, WarmUp
from heli.providers.formats.openai_responses import OpenAIResponses
from heli.providers.framing import looks_like_sse
from heli.providers.hosts import find_host
from heli.providers.json_values import Json, as_dict
from heli.providers.sockets.turn import SocketTurn
from heli.schema.exchange import Exchange, Listener

OPENAI_CHAT = OpenAIChat()
OPENAI_COMPLETIONS = OpenAICompletions()
OPENAI_RESPONSES = OpenAIResponses()
ANTHROPIC = AnthropicMessages()
GEMINI = GeminiGenerate()
OLLAMA = (OllamaChat(), OllamaGenerate(), OllamaEmbed())
OTHER = Opaque()
FREE_OTHER = Opaque(is_free=True)
MODELS = Opaque("models", is_free=True)
SOCKETS: dict[str, Format] = {
    "responses": OPENAI_RESPONSES,
    "realtime": OpenAIRealtime(),
    "warm_up": WarmUp(),
    "unanswered": FREE_OTHER,
}
"""Formats of what WebSockets carry, by the protocol of a turn."""

_PATHS: tuple[tuple[re.Pattern[str], Format], ...] = tuple(
    (re.compile(pattern), format)
    for pattern, format in (
        (r"/chat/completions$", OPENAI_CHAT),
        (r"/fim/completions$", OPENAI_CHAT),
        (r"/completions$", OPENAI_COMPLETIONS),
        (r"/responses(?:/compact)?$", OPENAI_RESPONSES),
        (r"/api/embed(?:dings)?$", OLLAMA[2]),
        (r"/embeddings$", OpenAIEmbeddings()),
        (r"/messages/count_tokens$", AnthropicCountTokens()),
        (r"/v1/messages$", ANTHROPIC),
        (r"/publishers/anthropic/models/[^/]+:(?:streamRawPredict|rawPredict)$", ANTHROPIC),
        (r":(?:generateContent|streamGenerateContent)$", GEMINI),
        (r":countTokens$", GeminiCountTokens()),
        (r":(?:embedContent|batchEmbedContents)$", GeminiEmbed()),
        (r"/api/chat$", OLLAMA[0]),
        (r"/api/generate$", OLLAMA[1]),
        (r"/images/(?:generations|edits)$", OpenAIImages()),
        (r"/moderations$", Opaque("moderation", is_free=True)),
        (r"/audio/(?:transcriptions|translations)$", Opaque("transcription")),
        (r"/audio/speech$", Opaque("speech")),
        (r"/rerank$", Opaque("rerank")),
        (r"/api/(?:show|ps|pull|push|create|copy)$", MODELS),
        (r"/responses/[^/]+/cancel$", FREE_OTHER),
    )
)
"""`(what the path ends in, format)` of calls by POST; the first match counts."""

_MODEL_LISTS = re.compile(r"/models(?:/[^:]*)?$|/api/(?:tags|ps|version)$")
_PATH_MODELS = re.compile(
    r"/(?:engines|deployments|models|model)/(.+?)"
    r"(?::[A-Za-z]+|/(?:chat/completions|completions|embeddings|responses|images/.*|audio/.*|messages"
    r"|invoke|invoke-with-response-stream|converse|converse-stream))?$"
)
_OLLAMA_CLOUD = re.compile(r"//(?:[^/]+\.)?ollama\.com$")
_LOCAL_NAMES = frozenset({"localhost", "host.docker.internal"})


class Recognised:
    """Who was called, for what, in which format."""

    __slots__ = ("format", "path_model", "provider")

    def __init__(self, provider: str, format: Format, path_model: str) -> None:
        self.provider = provider
        self.format = format
        self.path_model = path_model


def recognise(exchange: Exchange) -> Recognised:
    """By host and path; the body has its say later, in `recognise_body`, where these do not tell."""
    path, _, query = exchange.path.partition("?")
    path_model = _path_model(path)
    if exchange.is_websocket:
        format = SOCKETS.get(exchange.protocol, OTHER) if isinstance(exchange, SocketTurn) else OTHER
        path_model = path_model or parse_qs(query).get("model", [""])[0]
    else:
        format = _path_format(exchange.method, path)
    provider = _provider(exchange.origin) or _listener_provider(exchange.listener)
    if format in OLLAMA and provider in ("LOCAL", exchange.origin) and not _OLLAMA_CLOUD.search(provider):
        provider = "OLLAMA"
    if format is OTHER and is_side_call(provider, path):
        format = FREE_OTHER
    return Recognised(provider, format, path_model)


@lru_cache(maxsize=1024)
def _provider(origin: str) -> str:
    """Helicone's name, `LOCAL` for this machine, else the origin itself."""
    host = find_host(origin)
    if host is not None:
        return host.name
    return "LOCAL" if origin and _is_loopback(origin) else origin


def _is_loopback(origin: str) -> bool:
    try:
        name = (urlsplit(origin).hostname or "").rstrip(".")
        return name in _LOCAL_NAMES or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _listener_provider(listener: Listener) -> str:
    return {Listener.OPENAI: "OPENAI", Listener.ANTHROPIC: "ANTHROPIC"}.get(listener, "")


@lru_cache(maxsize=1024)
def _path_format(method: str, path: str) -> Format:
    if method != "POST":
        # Listing models, fetching what was made before: no model runs, nothing is charged.
        return MODELS if _MODEL_LISTS.search(path) else FREE_OTHER
    path = path.rstrip("/")
    return next((format for pattern, format in _PATHS if pattern.search(path)), OTHER)


@lru_cache(maxsize=1024)
def _path_model(path: str) -> str:
    match = _PATH_MODELS.search(path)
    return unquote(match[1]) if match else ""


_STREAM_MARKS = (
    (b'"chat.completion.chunk"', OPENAI_CHAT),
    (b'"text_completion"', OPENAI_COMPLETIONS),
    (b'"message_start"', ANTHROPIC),
    (b'"response.created"', OPENAI_RESPONSES),
    (b'"candidates"', GEMINI),
)
_REPLY_MARKS = (
    (b'"chat.completion"', "messages", OPENAI_CHAT),
    (b'"text_completion"', "prompt", OPENAI_COMPLETIONS),
    (b'"stop_reason"', "messages", ANTHROPIC),
    (b'"object":"response"', "input", OPENAI_RESPONSES),
    (b'"object": "response"', "input", OPENAI_RESPONSES),
    (b'"candidates"', "contents", GEMINI),
)
"""`(what the reply holds, what the request holds, format)`."""

_HEAD = 64 * 1024


def recognise_body(request: Json, reply_body: bytes) -> Format:
    """The format of a call whose path told nothing: a company's own gateway, mostly."""
    head = reply_body[:_HEAD]
    if looks_like_sse(head):
        return next((format for mark, format in _STREAM_MARKS if mark in head), OTHER)
    asked = as_dict(request)
    return next((format for mark, name, format in _REPLY_MARKS if asked.get(name) and mark in head), OTHER)

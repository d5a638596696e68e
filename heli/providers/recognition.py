"""Which provider a call went to and in which wire format: by host, then by path, then by the body."""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from heli.providers.formats.anthropic_messages import AnthropicCountTokens, AnthropicMessages
from heli.providers.formats.format import Format
from heli.providers.formats.opaque import Opaque
from heli.providers.formats.openai_chat import OpenAIChat
from heli.providers.framing import looks_like_sse
from heli.providers.hosts import find_host
from heli.providers.json_values import Json, as_dict, as_list, field
from heli.schema.exchange import Exchange, Listener

OPENAI_CHAT = OpenAIChat()
ANTHROPIC = AnthropicMessages()
OTHER = Opaque()
FREE_OTHER = Opaque(is_free=True)
REALTIME = Opaque("realtime")
RESPONSE_SOCKET = Opaque("response")

_PATHS: tuple[tuple[re.Pattern[str], Format], ...] = tuple(
    (re.compile(pattern), format)
    for pattern, format in (
        (r"/chat/completions$", OPENAI_CHAT),
        (r"/messages/count_tokens$", AnthropicCountTokens()),
        (r"/v1/messages$", ANTHROPIC),
    )
)
"""`(what the path ends in, format)` of calls that run a model, all of them POST."""

_PATH_MODELS = re.compile(r"/(?:engines|deployments|models|model)/([^/:?]+(?:/[^/:?]+)?)")
_LOCAL_NAMES = frozenset({"localhost", "host.docker.internal"})


class Recognised:
    """Who was called, for what, in which format."""

    __slots__ = ("format", "path", "path_model", "provider")

    def __init__(self, provider: str, format: Format, path: str, path_model: str) -> None:
        self.provider = provider
        self.format = format
        self.path = path
        self.path_model = path_model


def recognise(exchange: Exchange) -> Recognised:
    """By host and path; the body has its say later, in `recognise_body`, where these do not tell."""
    path = exchange.path.split("?", 1)[0]
    format = _socket_format(path) if exchange.is_websocket else _path_format(exchange.method, path)
    provider = _provider(exchange.origin) or _listener_provider(exchange.listener)
    return Recognised(provider, format, exchange.path, _path_model(path))


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
        return FREE_OTHER
    path = path.rstrip("/")
    return next((format for pattern, format in _PATHS if pattern.search(path)), OTHER)


def _socket_format(path: str) -> Format:
    return RESPONSE_SOCKET if path.rstrip("/").endswith("/responses") else REALTIME


@lru_cache(maxsize=1024)
def _path_model(path: str) -> str:
    match = _PATH_MODELS.search(path)
    if match is None:
        return ""
    model = unquote(match[1])
    # What follows a model's name is an operation, unless the name itself has two parts.
    head, _, tail = model.partition("/")
    return head if tail in _OPERATIONS else model


_OPERATIONS = frozenset(
    {"", "chat", "completions", "embeddings", "responses", "images", "audio", "invoke", "converse"}
    | {"invoke-with-response-stream", "converse-stream", "messages"}
)


def recognise_body(request: Json, reply_body: bytes) -> Format:
    """The format of a call whose path told nothing: a company's own gateway, mostly."""
    if looks_like_sse(reply_body):
        head = reply_body[:2048]
        if b'"chat.completion.chunk"' in head:
            return OPENAI_CHAT
        if b'"message_start"' in head:
            return ANTHROPIC
        return OTHER
    fields = as_dict(request)
    if not as_list(fields.get("messages")):
        return OTHER
    head = reply_body[:4096]
    if b'"chat.completion"' in head:
        return OPENAI_CHAT
    if b'"message"' in head and b'"stop_reason"' in reply_body[:65536] and field(request, "max_tokens"):
        return ANTHROPIC
    return OTHER

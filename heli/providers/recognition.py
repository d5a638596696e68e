"""Which provider a call went to and in which wire format: by host, then by path, then by the body."""

import ipaddress
import re
from functools import lru_cache
from urllib.parse import parse_qs, unquote, urlsplit

from heli.providers.agents import is_side_call
from heli.providers.formats.anthropic_messages import AnthropicCountTokens, AnthropicMessages
from heli.providers.formats.batches import Batch, BatchResults
from heli.providers.formats.bedrock_converse import BedrockConverse
from heli.providers.formats.cohere import CohereChat, CohereEmbed, CohereRerank
from heli.providers.formats.format import Format
from heli.providers.formats.gemini import GeminiCountTokens, GeminiEmbed, GeminiGenerate
from heli.providers.formats.mistral_ocr import MistralOCR
from heli.providers.formats.moderation import Moderation
from heli.providers.formats.ollama import OllamaChat, OllamaEmbed, OllamaGenerate
from heli.providers.formats.opaque import Opaque
from heli.providers.formats.openai_audio import OpenAISpeech, OpenAITranscription
from heli.providers.formats.openai_chat import OpenAIChat
from heli.providers.formats.openai_completions import OpenAICompletions
from heli.providers.formats.openai_embeddings import OpenAIEmbeddings
from heli.providers.formats.openai_images import OpenAIImages
from heli.providers.formats.openai_realtime import OpenAIRealtime, WarmUp
from heli.providers.formats.openai_responses import OpenAIResponses
from heli.providers.formats.vertex_predict import VertexPredict
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
FREE_COUNT = Opaque("count_tokens", is_free=True)
MODELS = Opaque("models", is_free=True)
COHERE_CHAT = CohereChat()
BATCH = Batch()
BATCH_RESULTS = BatchResults()
BEDROCK_INVOKE = Opaque("invoke")
"""A model in its vendor's own shape: which one is told by `choose_invoked`."""
FREE_MODERATION = Moderation(is_free=True)
MODERATION = Moderation()
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
        (r"/(?:fim|agents)/completions$", OPENAI_CHAT),
        (r"/completions$", OPENAI_COMPLETIONS),
        (r"/responses(?:/compact)?$", OPENAI_RESPONSES),
        (r"/responses/input_tokens$|/model/[^/]+/count-tokens$", FREE_COUNT),
        (r"/api/embed(?:dings)?$", OLLAMA[2]),
        (r"/embeddings$", OpenAIEmbeddings()),
        (r"/messages/count_tokens$", AnthropicCountTokens()),
        (r"/v1/messages$", ANTHROPIC),
        (r"/publishers/anthropic/models/count-tokens:rawPredict$", AnthropicCountTokens()),
        (r"/publishers/anthropic/models/[^/]+:(?:streamRawPredict|rawPredict)$", ANTHROPIC),
        (r"/publishers/[^/]+/models/[^/]+:(?:streamRawPredict|rawPredict)$", OPENAI_CHAT),
        (r"/publishers/[^/]+/models/[^/]+:predict$", VertexPredict()),
        (r"/model/[^/]+/invoke(?:-with-response-stream)?$", BEDROCK_INVOKE),
        (r"/model/[^/]+/converse(?:-stream)?$", BedrockConverse()),
        (r"/v2/chat$", COHERE_CHAT),
        (r"/v[12]/embed$", CohereEmbed()),
        (r"/(?:batches|batch/jobs|messages/batches)(?:/[^/]+/cancel)?$", BATCH),
        (r":(?:generateContent|streamGenerateContent)$", GEMINI),
        (r":countTokens$", GeminiCountTokens()),
        (r":(?:embedContent|batchEmbedContents)$", GeminiEmbed()),
        (r"/api/chat$", OLLAMA[0]),
        (r"/api/generate$", OLLAMA[1]),
        (r"/images/(?:generations|edits|variations)$", OpenAIImages()),
        (r"/moderations$", MODERATION),
        (r"/audio/(?:transcriptions|translations)$", OpenAITranscription()),
        (r"/audio/speech$", OpenAISpeech()),
        (r"/rerank$", CohereRerank()),
        (r"/ocr$", MistralOCR()),
        (r"/api/(?:show|ps|pull|push|create|copy)$", MODELS),
        (r"/responses/[^/]+/cancel$", FREE_OTHER),
        (r"/files$", FREE_OTHER),  # keeping a file; what is done with it is another call
    )
)
"""`(what the path ends in, format)` of calls by POST; the first match counts."""

_MODEL_LISTS = re.compile(r"/models(?:/[^:]*)?$|/api/(?:tags|ps|version)$")
_BATCHES = re.compile(r"/(?:batches|batch/jobs)/[^/]+$")
_RESULTS = re.compile(r"/files/[^/]+/content$|/messages/batches/[^/]+/results$")
_PATH_MODELS = re.compile(
    r"/(?:engines|deployments|models|model)/(.+?)"
    r"(?::[A-Za-z]+|/(?:chat/completions|completions|embeddings|responses|images/.*|audio/.*|messages"
    r"|invoke|invoke-with-response-stream|converse|converse-stream|count-tokens))?$"
)
_AMAZON_NAMES = re.compile(r"arn:[^/]*:(?:foundation-model|inference-profile)/(.+)")
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
    named = path_model(path)
    if exchange.is_websocket:
        format = SOCKETS.get(exchange.protocol, OTHER) if isinstance(exchange, SocketTurn) else OTHER
        named = named or parse_qs(query).get("model", [""])[0]
    else:
        format = _path_format(exchange.method, path)
    provider = _provider(exchange.origin) or _listener_provider(exchange.listener)
    format = _own_format(provider, path, format)
    if format in OLLAMA and provider in ("LOCAL", exchange.origin) and not _OLLAMA_CLOUD.search(provider):
        provider = "OLLAMA"
    if format is OTHER and is_side_call(provider, path):
        format = FREE_OTHER
    return Recognised(provider, format, named)


def _own_format(provider: str, path: str, format: Format) -> Format:
    """The format where the same path means another thing at this provider."""
    if format is MODERATION and provider in _FREE_MODERATION:
        return FREE_MODERATION
    if provider == "COHERE":
        path = path.rstrip("/")
        if path.endswith("/v1/chat"):
            return COHERE_CHAT
        if path.endswith(("/tokenize", "/detokenize", "/check-api-key")):
            return FREE_OTHER
    return format


_FREE_MODERATION = frozenset({"OPENAI", "LOCAL"})


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
        if method == "GET" and _RESULTS.search(path):
            return BATCH_RESULTS
        if _BATCHES.search(path):
            return BATCH
        # Listing models, fetching what was made before: no model runs, nothing is charged.
        return MODELS if _MODEL_LISTS.search(path) else FREE_OTHER
    path = path.rstrip("/")
    return next((format for pattern, format in _PATHS if pattern.search(path)), OTHER)


@lru_cache(maxsize=1024)
def path_model(path: str) -> str:
    """The model, deployment or profile that a path names; empty when it names none."""
    match = _PATH_MODELS.search(path)
    model = unquote(match[1]) if match else ""
    # The resource names of Amazon's own models and profiles end in their id.
    named = _AMAZON_NAMES.fullmatch(model) if model.startswith("arn:") else None
    return named[1] if named else model


_STREAM_MARKS = (
    (b'"message-start"', COHERE_CHAT),
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

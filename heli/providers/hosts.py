"""Which provider a host belongs to, and where calls to it are sent.

Light on purpose: the gateway imports this module and nothing else of the providers.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from heli.schema.errors import UsageError
from heli.schema.exchange import Listener


class ProviderHost(msgspec.Struct, frozen=True):
    """A provider and its public hosts. Names are Helicone's, keys are what settings call it."""

    name: str
    key: str
    hosts: tuple[str, ...]
    """Host names; `*` stands for a label or a part of one."""
    origin: str = ""
    """Where its calls go when no target is given; empty when it depends on the account."""


HOSTS = (
    ProviderHost("OPENAI", "openai", ("api.openai.com", "*.api.openai.com"), "https://api.openai.com"),
    ProviderHost("OPENAI", "chatgpt", ("chatgpt.com",), "https://chatgpt.com"),
    ProviderHost("ANTHROPIC", "anthropic", ("api.anthropic.com",), "https://api.anthropic.com"),
    ProviderHost(
        "AZURE",
        "azure",
        (
            "*.openai.azure.com",
            "*.openai.azure.us",
            "*.azure-api.net",
            "*.cognitiveservices.azure.com",
            "*.cognitiveservices.azure.us",
            "*.services.ai.azure.com",
            "*.api.cognitive.microsoft.com",
            "*.*.models.ai.azure.com",
            "models.inference.ai.azure.com",
        ),
    ),
    ProviderHost(
        "GOOGLE",
        "google",
        (
            "generativelanguage.googleapis.com",
            "aiplatform.googleapis.com",
            "*-aiplatform.googleapis.com",
            "aiplatform.*.rep.googleapis.com",
            "cloudcode-pa.googleapis.com",
            "daily-cloudcode-pa.googleapis.com",
        ),
        "https://generativelanguage.googleapis.com",
    ),
    ProviderHost(
        "BEDROCK",
        "bedrock",
        (
            "bedrock-runtime.*.amazonaws.com",
            "bedrock-runtime-fips.*.amazonaws.com",
            "bedrock-runtime.*.amazonaws.com.cn",
            "bedrock-runtime.*.api.aws",
            "bedrock-mantle.*.api.aws",
        ),
    ),
    ProviderHost("TOGETHER", "together", ("api.together.xyz", "api.together.ai"), "https://api.together.xyz"),
    ProviderHost("GROQ", "groq", ("api.groq.com",), "https://api.groq.com"),
    ProviderHost("MISTRAL", "mistral", ("api.mistral.ai", "codestral.mistral.ai"), "https://api.mistral.ai"),
    ProviderHost("DEEPSEEK", "deepseek", ("api.deepseek.com",), "https://api.deepseek.com"),
    ProviderHost("DEEPINFRA", "deepinfra", ("api.deepinfra.com",), "https://api.deepinfra.com"),
    ProviderHost("FIREWORKS", "fireworks", ("api.fireworks.ai",), "https://api.fireworks.ai"),
    ProviderHost("PERPLEXITY", "perplexity", ("api.perplexity.ai",), "https://api.perplexity.ai"),
    ProviderHost("OPENROUTER", "openrouter", ("openrouter.ai", "api.openrouter.ai"), "https://openrouter.ai"),
    ProviderHost("CEREBRAS", "cerebras", ("api.cerebras.ai",), "https://api.cerebras.ai"),
    ProviderHost(
        "NEBIUS",
        "nebius",
        ("api.tokenfactory.nebius.com", "api.studio.nebius.ai", "api.studio.nebius.com"),
        "https://api.tokenfactory.nebius.com",
    ),
    ProviderHost("NOVITA", "novita", ("api.novita.ai",), "https://api.novita.ai"),
    ProviderHost("X", "xai", ("api.x.ai", "*.api.x.ai"), "https://api.x.ai"),
    ProviderHost("NVIDIA", "nvidia", ("integrate.api.nvidia.com",), "https://integrate.api.nvidia.com"),
    ProviderHost("LLAMA", "llama", ("api.llama.com",), "https://api.llama.com"),
    ProviderHost("VERCEL", "vercel", ("ai-gateway.vercel.sh",), "https://ai-gateway.vercel.sh"),
    ProviderHost("HYPERBOLIC", "hyperbolic", ("api.hyperbolic.xyz",), "https://api.hyperbolic.xyz"),
    ProviderHost("PREDIBASE", "predibase", ("api.app.predibase.com",), "https://api.app.predibase.com"),
    ProviderHost("COHERE", "cohere", ("api.cohere.ai", "api.cohere.com"), "https://api.cohere.com"),
    ProviderHost(
        "ANYSCALE", "anyscale", ("api.endpoints.anyscale.com",), "https://api.endpoints.anyscale.com"
    ),
    ProviderHost(
        "CLOUDFLARE", "cloudflare", ("gateway.ai.cloudflare.com",), "https://gateway.ai.cloudflare.com"
    ),
    ProviderHost("BASETEN", "baseten", ("inference.baseten.co",), "https://inference.baseten.co"),
    ProviderHost("CANOPYWAVE", "canopywave", ("inference.canopywave.io",), "https://inference.canopywave.io"),
    ProviderHost("CHUTES", "chutes", ("llm.chutes.ai",), "https://llm.chutes.ai"),
    ProviderHost("AVIAN", "avian", ("api.avian.io",), "https://api.avian.io"),
    ProviderHost("OPENPIPE", "openpipe", ("api.openpipe.ai", "app.openpipe.ai"), "https://api.openpipe.ai"),
    ProviderHost("MOONSHOT", "moonshot", ("api.moonshot.ai", "api.moonshot.cn"), "https://api.moonshot.ai"),
    ProviderHost(
        "COPILOT",
        "copilot",
        (
            "api.githubcopilot.com",
            "api.individual.githubcopilot.com",
            "api.business.githubcopilot.com",
            "api.enterprise.githubcopilot.com",
        ),
        "https://api.githubcopilot.com",
    ),
    ProviderHost("GITHUB", "github_models", ("models.github.ai",), "https://models.github.ai"),
    ProviderHost("HUGGINGFACE", "huggingface", ("router.huggingface.co",), "https://router.huggingface.co"),
    ProviderHost("SAMBANOVA", "sambanova", ("api.sambanova.ai",), "https://api.sambanova.ai"),
    ProviderHost("AI21", "ai21", ("api.ai21.com",), "https://api.ai21.com"),
    ProviderHost("VOYAGE", "voyage", ("api.voyageai.com",), "https://api.voyageai.com"),
    ProviderHost("JINA", "jina", ("api.jina.ai",), "https://api.jina.ai"),
    ProviderHost("MINIMAX", "minimax", ("api.minimax.io", "api.minimaxi.com"), "https://api.minimax.io"),
    ProviderHost("ZAI", "zai", ("api.z.ai",), "https://api.z.ai"),
    ProviderHost("ZHIPU", "zhipu", ("open.bigmodel.cn",), "https://open.bigmodel.cn"),
    ProviderHost(
        "ALIBABA",
        "alibaba",
        ("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
        "https://dashscope-intl.aliyuncs.com",
    ),
    ProviderHost(
        "SILICONFLOW",
        "siliconflow",
        ("api.siliconflow.com", "api.siliconflow.cn"),
        "https://api.siliconflow.com",
    ),
    ProviderHost("QSTASH", "qstash", ("qstash.upstash.io",), "https://qstash.upstash.io"),
    ProviderHost("FIRECRAWL", "firecrawl", ("api.firecrawl.dev",), "https://api.firecrawl.dev"),
    ProviderHost(
        "HELICONE", "helicone", ("oai.hconeai.com", "inference.helicone.ai"), "https://inference.helicone.ai"
    ),
)

_BY_KEY = {host.key: host for host in HOSTS}
_PATTERNS = [
    (re.compile(re.escape(pattern).replace(r"\*", r"[a-z0-9-]+")), host)
    for host in HOSTS
    for pattern in host.hosts
]
_LISTENER_KEYS = {Listener.OPENAI: "openai", Listener.ANTHROPIC: "anthropic"}


@lru_cache(maxsize=1024)
def find_host(origin: str) -> ProviderHost | None:
    """The provider that owns the host of `https://host:port`; `None` for a host that is nobody's."""
    name = (urlsplit(origin).hostname or "").rstrip(".")
    return next((host for pattern, host in _PATTERNS if pattern.fullmatch(name)), None)


def listener_origin(listener: Listener) -> str:
    """The public origin for calls that come in by a listener; empty where the call itself must name it."""
    key = _LISTENER_KEYS.get(listener)
    return _BY_KEY[key].origin if key else ""


def check_keys(keys: Iterable[str], origins: Mapping[str, str]) -> None:
    """That settings speak of providers that there are. `origins` as in `Loaded`. Raises `UsageError`."""
    for key in keys:
        if key not in _BY_KEY:
            origin = origins.get(f"providers.{key}.base_url", "the settings")
            near = difflib.get_close_matches(key, _BY_KEY, n=1)
            raise UsageError(
                f"{origin}: there is no provider {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                "take it out, or choose from " + ", ".join(_BY_KEY),
            )


def called_origin(origin: str, base_urls: Mapping[str, str]) -> str:
    """Where to connect for a public origin. `base_urls` is `{provider key: URL}`, the operator's word.

    Only the origin of such a URL counts: callers' paths already hold their `/v1`.
    """
    host = find_host(origin)
    base_url = base_urls.get(host.key, "") if host else ""
    return origin_of(base_url) if base_url else origin


def origin_of(url: str) -> str:
    """`scheme://host[:port]` of a URL, in lower case, without user-info. Raises `ValueError`."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http(s) URL with a host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = 443 if parts.scheme == "https" else 80
    port = f":{parts.port}" if parts.port not in (None, default) else ""
    return f"{parts.scheme}://{host.lower()}{port}"

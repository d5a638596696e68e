"""Which hosts serve model APIs and little else, so that the interceptor may decrypt them.

Narrower than `heli.providers.hosts`, which says whose a host is once it is called: `storage.googleapis.com`
and `oauth2.googleapis.com` are Google's, and nobody's business. A certificate authority is limited to
these names, so each pattern that has a `*` inside is written out for the regions there are.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from heli.providers.hosts import HOSTS

_BEDROCK_REGIONS = re.findall(
    r"\S+",
    "us-east-1 us-east-2 us-west-1 us-west-2 us-gov-east-1 us-gov-west-1 ca-central-1 ca-west-1 sa-east-1 "
    "mx-central-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 "
    "ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 "
    "ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-7 me-central-1 me-south-1 "
    "af-south-1 il-central-1",
)
_VERTEX_REGIONS = re.findall(
    r"\S+",
    "us-central1 us-east1 us-east4 us-east5 us-south1 us-west1 us-west2 us-west3 us-west4 "
    "northamerica-northeast1 northamerica-northeast2 southamerica-east1 southamerica-west1 "
    "europe-central2 europe-north1 europe-southwest1 europe-west1 europe-west2 europe-west3 europe-west4 "
    "europe-west6 europe-west8 europe-west9 europe-west12 asia-east1 asia-east2 asia-northeast1 "
    "asia-northeast2 asia-northeast3 asia-south1 asia-south2 asia-southeast1 asia-southeast2 "
    "australia-southeast1 australia-southeast2 me-central1 me-central2 me-west1 africa-south1",
)

_SPELLED_OUT = {
    "google": (
        "generativelanguage.googleapis.com",
        "cloudcode-pa.googleapis.com",
        "daily-cloudcode-pa.googleapis.com",
        "aiplatform.googleapis.com",
        "aiplatform.us.rep.googleapis.com",
        "aiplatform.eu.rep.googleapis.com",
        *(f"{region}-aiplatform.googleapis.com" for region in _VERTEX_REGIONS),
    ),
    "bedrock": (
        *(f"bedrock-runtime.{region}.amazonaws.com" for region in _BEDROCK_REGIONS),
        *(f"bedrock-runtime.{region}.api.aws" for region in _BEDROCK_REGIONS),
        *(f"bedrock-mantle.{region}.api.aws" for region in _BEDROCK_REGIONS),
        *(f"bedrock-runtime-fips.{r}.amazonaws.com" for r in _BEDROCK_REGIONS if r[:3] in ("us-", "ca-")),
        *(f"bedrock-runtime.{region}.amazonaws.com.cn" for region in ("cn-north-1", "cn-northwest-1")),
    ),
    # `*.azure-api.net` is anybody's API behind Azure's gateway: for `heli ca allow`.
    "azure": (
        "*.openai.azure.com",
        "*.openai.azure.us",
        "*.cognitiveservices.azure.com",
        "*.cognitiveservices.azure.us",
        "*.services.ai.azure.com",
        "*.api.cognitive.microsoft.com",
        "*.models.ai.azure.com",
        "models.inference.ai.azure.com",
    ),
}
_NO_MODELS = frozenset({"qstash", "firecrawl"})
"""A message queue and a crawler."""

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


def _model_hosts() -> tuple[str, ...]:
    found: dict[str, None] = {}
    for provider in HOSTS:
        if provider.key not in _NO_MODELS:
            found |= dict.fromkeys(_SPELLED_OUT.get(provider.key, provider.hosts))
    return tuple(found)


MODEL_HOSTS = _model_hosts()
"""Host names; `*.` before one stands for any number of labels."""

DOCTOR_HOST = "doctor.heli.invalid"
"""heli's own, answered by the interceptor: names below `.invalid` are nobody's (RFC 2606, section 2)."""

DECRYPTED_HOSTS = (*MODEL_HOSTS, DOCTOR_HOST)
"""What is decrypted, unless the user allows more."""


def as_pattern(text: str) -> str:
    """A host or `*.host` as a person wrote it, in the form of `MODEL_HOSTS`. Raises `ValueError`.

    A pattern needs two labels behind its star: nobody means `*.com`.
    """
    name = text.strip().lower().rstrip(".")
    try:
        name = name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        name = ""
    bare = name.removeprefix("*.")
    is_address = re.fullmatch(r"[0-9.]+", bare) is not None
    if not _NAME.fullmatch(name) or len(name) > 253 or is_address:
        raise ValueError(f"{text!r} is not a host name")
    if name != bare and "." not in bare:
        raise ValueError(f"{text!r} would take in everything below {bare!r}")
    return name


def subtrees(patterns: Iterable[str]) -> list[str]:
    """The DNS subtrees of name constraints that hold these hosts, none of them inside another."""
    names = {pattern.removeprefix("*.") for pattern in patterns}
    return sorted(name for name in names if not any(parent in names for parent in _parents(name)))


def _parents(name: str) -> list[str]:
    labels = name.split(".")
    return [".".join(labels[index:]) for index in range(1, len(labels))]


class HostList:
    """The hosts that are decrypted: those that serve models, and those that the user allowed."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._exact = {name for name in (*DECRYPTED_HOSTS, *allowed) if not name.startswith("*.")}
        self._wide = {name[2:] for name in (*DECRYPTED_HOSTS, *allowed) if name.startswith("*.")}
        self._holds = lru_cache(maxsize=4096)(self._look)

    def __contains__(self, host: object) -> bool:
        return isinstance(host, str) and self._holds(host)

    def _look(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return name in self._exact or any(parent in self._wide for parent in _parents(name))

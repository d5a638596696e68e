"""What can be wrong with a setting beyond its type, and how it is told."""

import difflib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from heli.schema.errors import UsageError

LOG_LEVELS = ("debug", "info", "warning", "error")

_AT = re.compile(r"(.*?)(?: - at `\$\.?(.*?)`)?", re.DOTALL)
_DATABASE_URL = re.compile(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_BOUND = re.compile(r"Expected `\w+` (<=|>=|>) ([\d.]+?)(?:\.0)?")
_KIND = re.compile(r"Expected `(\w+)`, got `\w+`")
_BOUNDS = {"<=": "at most", ">=": "at least", ">": "more than"}
_KINDS = {
    "int": "which is no whole number",
    "float": "which is no number",
    "str": "which is no text",
    "array": "which is no list",
    "object": "but it is a group of settings and has no value of its own",
}
_CONCEALED = frozenset({"backend.ingest_token", "store.url", "database.url"})
"""Their values may hold a secret."""


def explain(error: msgspec.ValidationError, tree: Mapping[str, Any], origin: str, known: list[str]) -> str:
    """msgspec's complaint about the settings of that origin, in heli's words; `known` are all their names."""
    found = _AT.fullmatch(str(error))
    complaint, name = (found[1], (found[2] or "").replace("[...]", ".<name>")) if found else (str(error), "")
    if unknown := _UNKNOWN.fullmatch(complaint):
        wrong = ".".join(filter(None, (name, unknown[1])))
        nearest = difflib.get_close_matches(wrong, known, n=1)
        return f"{origin}: there is no setting {wrong!r}" + (
            f"; did you mean {nearest[0]!r}?" if nearest else ""
        )
    value = None if name in _CONCEALED else _value_at(tree, name)
    said = f"{name} is {value!r} ({origin})" if value is not None else f"{name} ({origin}) has a wrong value"
    if bound := _BOUND.fullmatch(complaint):
        return f"{said}, but it takes {_BOUNDS[bound[1]]} {bound[2]}"
    kind = _KIND.fullmatch(complaint)
    return f"{said}, {_KINDS[kind[1]]}" if kind and kind[1] in _KINDS else f"{said}: {complaint}"


def _value_at(tree: Any, name: str) -> Any:
    """The value that stands there, `None` when the name does not tell where."""
    for key in name.partition("[")[0].split("."):
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


def how_to_set(name: str, value: Any, origin: str = "") -> str:
    """What to type so that a setting gets another value, where its value came from that origin."""
    if origin.startswith("HELI_"):
        return f"set {origin}={value} (the variable wins over `heli config set`)"
    if Path(origin).name == "heli.toml":
        return f"write {name} = {value} into {origin} (it wins over `heli config set`)"
    return f"heli config set {name} {value}"


def check_host(host: str, origin: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UsageError(
            f"host is {host!r} ({origin}), but without accounts heli only listens on this machine",
            "use 127.0.0.1 or ::1",
        )


def check_log_level(level: str, origin: str) -> None:
    if level not in LOG_LEVELS:
        raise UsageError(
            f"log_level is {level!r} ({origin}), which is no level", f"use one of {', '.join(LOG_LEVELS)}"
        )


def check_ports(ports: Mapping[str, int], origins: Mapping[str, str]) -> None:
    """Each process and listener wants its own."""
    seen: dict[int, str] = {}
    for name, port in ports.items():
        if port in seen:
            raise UsageError(
                f"ports.{seen[port]} and ports.{name} are both {port}",
                f"choose another: {how_to_set(f'ports.{name}', 'PORT', origins.get(f'ports.{name}', ''))}",
            )
        seen[port] = name


def check_urls(urls: Mapping[str, str], origins: Mapping[str, Any]) -> None:
    """`{setting: URL or nothing}`."""
    for name, url in urls.items():
        if url and not _is_http(url):
            raise UsageError(
                f"{name} is {_without_secrets(url)!r} ({origins.get(name, 'default')}), which is no URL",
                "write it like http://127.0.0.1:8123",
            )


def check_database_url(url: str, origin: str) -> None:
    """Whether it has the form of one; the backend tells the rest when it opens it."""
    if url and not _DATABASE_URL.match(url):
        raise UsageError(
            f"database.url is {_without_secrets(url)!r} ({origin}), which is no URL of a database",
            "write it like sqlite:////srv/heli/heli.db or postgresql+psycopg://user:password@host/heli",
        )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _without_secrets(url: str) -> str:
    return url.rpartition("@")[2]

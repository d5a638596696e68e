"""What can be wrong with a setting beyond its type, and how it is told."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from heli.schema.errors import UsageError

LOG_LEVELS = ("debug", "info", "warning", "error")

_AT = re.compile(r"(.*?)(?: - at `\$\.?(.*?)`)?", re.DOTALL)
_DATABASE_URL = re.compile(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")


def explain(error: msgspec.ValidationError) -> str:
    """msgspec's complaint with the setting's dotted name before it."""
    found = _AT.fullmatch(str(error))
    complaint, name = (found[1], found[2] or "") if found else (str(error), "")
    if unknown := _UNKNOWN.fullmatch(complaint):
        return f"there is no setting {'.'.join(filter(None, (name, unknown[1])))!r}"
    complaint = complaint[:1].lower() + complaint[1:]
    return f"{name}: {complaint}" if name else complaint


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


def check_ports(ports: Mapping[str, int]) -> None:
    """Each process and listener wants its own."""
    seen: dict[int, str] = {}
    for name, port in ports.items():
        if port in seen:
            raise UsageError(
                f"ports.{seen[port]} and ports.{name} are both {port}",
                f"choose another: heli config set ports.{name} PORT",
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

"""The settings by their dotted names: `ports.openai`, `providers.groq.base_url`."""

from collections.abc import Iterator
from typing import Any

import msgspec

from heli.cli.commands import suggest
from heli.providers.hosts import check_keys
from heli.schema.errors import UsageError
from heli.schema.settings import ProviderSettings, Settings

SECRET = frozenset({"backend.ingest_token"})
URLS = frozenset({"store.url", "database.url"})
"""They may hold a password."""
HIDDEN = "***"


def list_settings(settings: Settings) -> dict[str, Any]:
    """`{dotted name: value}` of all settings, in the order of the records."""
    return dict(_walk(settings, ""))


def find_setting(settings: Settings, name: str) -> Any:
    """The value of a name. Raises `UsageError` with the nearest names when there is none."""
    known = list_settings(settings)
    if name in known:
        return known[name]
    match name.split("."):
        case ["providers", key, "base_url"]:
            check_keys([key], {name: name})
            return ProviderSettings().base_url
    raise UsageError(
        f"there is no setting {name!r}{suggest(name, list(known))}", "`heli config` lists all settings"
    )


def hidden(name: str, value: Any) -> Any:
    """The value, with what is secret in it hidden."""
    if name in SECRET and value:
        return HIDDEN
    return _without_password(value) if name in URLS else value


def shown(name: str, value: Any) -> str:
    """The value for people, secrets hidden."""
    value = hidden(name, value)
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _walk(record: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(record, msgspec.Struct):
        for field in record.__struct_fields__:
            yield from _walk(getattr(record, field), f"{prefix}{field}.")
    elif isinstance(record, dict):
        for key in sorted(record):
            yield from _walk(record[key], f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), record


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if not at or ":" not in user:
        return url
    return f"{scheme}{mark}{user.partition(':')[0]}:{HIDDEN}@{host}{slash}{path}"

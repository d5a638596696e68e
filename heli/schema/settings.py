"""Settings: every knob of heli with its default, and the one place that reads files and variables for them.

They are read once, at the edge of a process, and passed on as arguments. Later layers win: defaults, the
user's `config.toml`, `./heli.toml`, `HELI_*` variables, command-line flags.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from heli.schema.errors import UsageError
from heli.schema.paths import Paths
from heli.schema.setting_checks import (
    check_database_url,
    check_host,
    check_log_level,
    check_ports,
    check_urls,
    explain,
)

type Tree = dict[str, Any]
type Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
type Count = Annotated[int, msgspec.Meta(ge=1)]
type Whole = Annotated[int, msgspec.Meta(ge=0)]
type Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Ports(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TCP ports; each process listens on `host` but the store, which only ever listens on loopback."""

    openai: Port = 8787
    log_api: Port = 8788
    gateway: Port = 8789
    anthropic: Port = 8790
    intercept: Port = 8791
    backend: Port = 8585
    store: Port = 8586


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the data plane."""

    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    header_timeout_s: Seconds = 15.0
    """A request's head must be complete this long after its first byte."""
    body_timeout_s: Seconds = 60.0
    """A request's body must bring at least `body_min_bytes` in each such period."""
    body_min_bytes: Whole = 256
    max_head_bytes: Count = 65_536
    max_url_bytes: Count = 16_384
    max_headers: Count = 200
    connect_timeout_s: Seconds = 10.0
    idle_timeout_s: Seconds = 900.0
    """A provider may be silent this long, and a caller may stop reading this long, before a call is cut."""
    keepalive_timeout_s: Seconds = 75.0
    """A caller's connection may rest this long between two requests."""
    max_connections: Count = 8_000
    """Callers' connections for each worker; more are closed at once."""
    capture_max_bytes: Whole = 32 * 1024 * 1024
    """How much of each body is kept; the rest passes and is counted."""
    allow_targets: list[str] = []
    """Private targets that may be called: host names, addresses or networks, such as `10.0.0.0/8`; a port
    may follow a name or address, `localhost:11434`."""
    drain_timeout_s: Annotated[float, msgspec.Meta(ge=0)] = 30.0


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the folder in which exchanges wait for the backend; for each worker."""

    max_bytes: Count = 1024 * 1024 * 1024
    segment_bytes: Count = 16 * 1024 * 1024
    sync_interval_ms: Whole = 20
    """How long the writer gathers records before it syncs them."""


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The request log."""

    url: str = ""
    """A ClickHouse server, `http://user:password@host:8123/heli`; empty for the embedded engine."""
    max_memory_bytes: Count = 2 * 1024 * 1024 * 1024


class BackendSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ingest and the REST API."""

    url: str = ""
    """Where gateways and commands find the backend; empty for `http://127.0.0.1:<ports.backend>`."""
    ingest_token: str = ""
    """What gateways show to the ingest API; empty for one that is made in the state folder."""


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Accounts, keys, prompts and the rest of the relational side."""

    url: str = ""
    """An SQLAlchemy URL; empty for SQLite in the data folder."""


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator says about one provider."""

    base_url: str = ""
    """Where calls to this provider are sent instead of its public address; may be loopback."""


class PricesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices in addition to the table that heli ships with."""

    override_file: str = ""
    """A TOML file of prices; empty for `prices.toml` beside the configuration file."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one heli."""

    host: str = "127.0.0.1"
    """The address to listen on; only loopback while there are no accounts."""
    ports: Ports = Ports()
    gateway: GatewaySettings = GatewaySettings()
    spool: SpoolSettings = SpoolSettings()
    store: StoreSettings = StoreSettings()
    backend: BackendSettings = BackendSettings()
    database: DatabaseSettings = DatabaseSettings()
    prices: PricesSettings = PricesSettings()
    providers: dict[str, ProviderSettings] = {}
    """`{provider: …}`, names in lower case: `openai`, `anthropic`, `google`, `groq`, …"""
    log_level: str = "info"
    """How much processes tell: one of `LOG_LEVELS`."""

    @property
    def backend_url(self) -> str:
        return self.backend.url or f"http://127.0.0.1:{self.ports.backend}"

    @property
    def store_url(self) -> str:
        return self.store.url or f"http://127.0.0.1:{self.ports.store}"


class Loaded(msgspec.Struct, frozen=True):
    """Settings with where they live and where each value came from."""

    settings: Settings
    paths: Paths
    origins: dict[str, str]
    """`{"ports.openai": "HELI_PORTS__OPENAI"}`; values that are not named are defaults."""


def load_settings(
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read all layers. `flags` maps dotted names to values.

    Raises `UsageError` that names the file or variable and the field when a value does not fit.
    """
    environ = os.environ if environ is None else environ
    paths = Paths.from_environ(environ)
    layers: list[tuple[str, Tree]] = [
        (str(file), read_settings_file(file))
        for file in (paths.config_file, (folder or Path.cwd()) / "heli.toml")
    ]
    layers += [(name, tree) for name, tree in _variables(environ)]
    layers += [("command line", _nest(name.split("."), value)) for name, value in (flags or {}).items()]
    merged: Tree = {}
    origins: dict[str, str] = {}
    for origin, tree in layers:
        _check(tree, origin)
        for name in _merge(merged, tree):
            origins[name] = origin
    settings = _check(merged, "the settings together")
    check_host(settings.host, origins.get("host", "default"))
    check_log_level(settings.log_level, origins.get("log_level", "default"))
    check_ports(msgspec.structs.asdict(settings.ports), origins)
    check_urls(_urls(settings), origins)
    check_database_url(settings.database.url, origins.get("database.url", "default"))
    return Loaded(settings, paths, origins)


def _urls(settings: Settings) -> dict[str, str]:
    providers = {f"providers.{key}.base_url": told.base_url for key, told in settings.providers.items()}
    return {"store.url": settings.store.url, "backend.url": settings.backend.url, **providers}


def read_settings_file(file: Path) -> Tree:
    """What is in the file; nothing when there is none. Raises `UsageError` when it cannot be read."""
    try:
        return tomllib.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {(error.strerror or str(error)).lower()}",
            "heli wants a file there that it may read, or nothing",
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", "mend the file, or move it away") from error


RESERVED_VARIABLES = frozenset(
    {
        "HELI_HOME",
        "HELI_DEBUG",
        "HELI_PAGER",
        "HELI_SESSION",
        "HELI_RUN_ID",
        "HELI_ENV_BEFORE",
        "HELI_CRASH_POINT",
        "HELI_FAULT",
        "HELI_COMPILE",
        "HELI_REL_FULL",
    }
)
"""`HELI_*` variables that are not settings."""


_OF_A_CLUSTER = re.compile(r"HELI_SERVICE_(HOST|PORT(_\w+)?)|HELI_PORT(_\d+_(TCP|UDP)(_\w+)?)?")
"""Variables that Kubernetes gives every program beside a service named `heli`."""


def _variables(environ: Mapping[str, str]) -> list[tuple[str, Tree]]:
    """`HELI_PORTS__OPENAI=1` is `ports.openai`; lists are separated by commas."""
    found = []
    for name, value in sorted(environ.items()):
        if not name.startswith("HELI_") or name in RESERVED_VARIABLES or _OF_A_CLUSTER.fullmatch(name):
            continue
        if value:
            keys = name.removeprefix("HELI_").lower().split("__")
            is_list = keys == ["gateway", "allow_targets"]
            found.append((name, _nest(keys, [v.strip() for v in value.split(",")] if is_list else value)))
    return found


def _nest(keys: list[str], value: Any) -> Tree:
    for key in reversed(keys):
        value = {key: value}
    tree: Tree = value
    return tree


def _merge(into: Tree, tree: Tree, prefix: str = "") -> list[str]:
    """Put `tree` over `into`; return the dotted names of what it set."""
    names: list[str] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            names += _merge(into.setdefault(key, {}), value, f"{prefix}{key}.")
        else:
            into[key] = value
            names.append(prefix + key)
    return names


def _check(tree: Tree, origin: str) -> Settings:
    try:
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(
            explain(error, tree, origin, _names(Settings)),
            "docs/configuration.md lists the settings and what they take",
        ) from error


def _names(record: type[msgspec.Struct], prefix: str = "") -> list[str]:
    """The dotted names of all settings and of their groups."""
    names = []
    for field in msgspec.structs.fields(record):
        names.append(prefix + field.name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            names += _names(field.type, f"{prefix}{field.name}.")
    return names

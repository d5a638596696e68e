"""What the kit's variables were before it, kept in one of them: who goes without heli gets them back.

A variable that somebody has changed since stays as it is: with each goes a checksum of what the kit set.
"""

import base64
import json
import zlib
from collections.abc import Mapping

BEFORE = "HELI_ENV_BEFORE"

type Values = Mapping[str, str | None]
"""Variables; `None` for one that is not set."""


def pack(kit: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """The value of `BEFORE` that goes with this kit; `environ` is without any."""
    told = {name: [environ.get(name), _checksum(value)] for name, value in kit.items()}
    return base64.b64encode(json.dumps(told, separators=(",", ":")).encode()).decode()


def changes_back(environ: Mapping[str, str]) -> dict[str, str | None]:
    """What to set, or to unset, so that this environment is as it was before the kit; empty without one."""
    if BEFORE not in environ:
        return {}
    changes: dict[str, str | None] = {BEFORE: None}
    for name, kept in _read(environ[BEFORE]).items():
        match kept:
            case [str() | None as value, int(checksum)] if _checksum(environ.get(name, "")) == checksum:
                changes[name] = value
    return changes


def without_kit(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment as it was before the kit."""
    found = {**environ, **changes_back(environ)}
    return {name: value for name, value in found.items() if value is not None}


def _read(packed: str) -> dict[str, object]:
    try:
        told = json.loads(base64.b64decode(packed, validate=True))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode(errors="surrogateescape"))

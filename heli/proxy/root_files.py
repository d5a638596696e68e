"""Where root certificates are: the system's, and those that the environment names for some program."""

import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from heli.schema.root_variables import ADDING, REPLACING

FILE_VARIABLES = (*REPLACING, *ADDING, "NPM_CONFIG_CAFILE")
"""Variables by which programs are told of root files."""

_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def named_sources(environ: Mapping[str, str], bundles: Path) -> list[str]:
    """The root files and folders that the environment names, without heli's own bundles.

    For one of those, what it was made of stands in its place.
    """
    named = [environ.get(name, "") for name in FILE_VARIABLES]
    named += environ.get("SSL_CERT_DIR", "").split(os.pathsep)
    found: dict[str, None] = {}
    for text in filter(None, named):
        path = Path(text).expanduser().absolute()
        if path.parent == bundles.absolute():
            found |= dict.fromkeys(read_sources(path.with_suffix(".json")) or [])
        else:
            found[str(path)] = None
    return list(found)


def system_roots() -> list[Path]:
    """Where the system keeps its roots; certifi's file where it has none."""
    default = ssl.get_default_verify_paths()
    for candidate in (*_SYSTEM_FILES, default.openssl_cafile):
        path = Path(candidate)
        if path.is_file() and path.stat().st_size:
            return [path]
    import certifi

    return [Path(certifi.where())]


def read_sources(record: Path) -> list[str] | None:
    """What a bundle of heli's was made of, by the record beside it."""
    try:
        sources = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return None
    return [text for text in sources if isinstance(text, str)] if isinstance(sources, list) else None

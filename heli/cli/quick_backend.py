"""The backend asked in a moment: for what is drawn with each prompt, or said when a program has ended.

Reading all the settings and loading httpx would take longer than the answer. So the address is found by
itself, and the question is a dozen lines over a socket.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MOST_BYTES = 1024 * 1024
DEFAULT_PORT = 8585


class Address(NamedTuple):
    """Where the backend listens."""

    host: str
    port: int
    is_tls: bool = False
    prefix: str = ""
    """The path below which its routes are."""


class NoAnswerError(Exception):
    """Nobody answers within the time, or not as a backend does."""


def find_backend(environ: Mapping[str, str], folder: str = ".") -> Address:
    """What `load_settings` says of the backend, from the same places. Raises `NoAnswerError` for nonsense."""
    url, port = environ.get("HELI_BACKEND__URL", ""), environ.get("HELI_PORTS__BACKEND", "")
    if not (url or port):
        for file in (f"{folder}/heli.toml", _config_file(environ)):
            told = _read(file)
            url = url or str(told.get("backend", {}).get("url", ""))
            port = port or str(told.get("ports", {}).get("backend", ""))
    try:
        return parse_url(url) if url else Address("127.0.0.1", int(port or DEFAULT_PORT))
    except ValueError as error:
        raise NoAnswerError(str(error)) from error


def ask(
    address: Address, path: str, within_s: float, parameters: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """GET a route; the answer as JSON, its numbers with all their digits. Raises `NoAnswerError`."""
    from decimal import Decimal
    from urllib.parse import urlencode

    target = address.prefix + path + (f"?{urlencode(parameters)}" if parameters else "")
    try:
        head, _, body = _get(address, target, time.monotonic() + within_s).partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1] != b"200":
            raise NoAnswerError(head.partition(b"\r\n")[0].decode("latin-1"))
        answer = json.loads(body, parse_float=Decimal)
    except (OSError, ValueError, IndexError) as error:
        raise NoAnswerError(str(error)) from error
    if not isinstance(answer, dict):
        raise NoAnswerError("not an answer of heli's")
    return answer


def _get(address: Address, target: str, deadline: float) -> bytes:
    with socket.create_connection((address.host, address.port), _left(deadline)) as plain:
        connection = plain
        if address.is_tls:
            import ssl

            connection = ssl.create_default_context().wrap_socket(plain, server_hostname=address.host)
        host = f"[{address.host}]" if ":" in address.host else address.host
        # In HTTP/1.0 the end of the connection is that of the answer, and nothing comes in chunks.
        question = f"GET {target} HTTP/1.0\r\nHost: {host}:{address.port}\r\nAccept: application/json\r\n\r\n"
        connection.sendall(question.encode())
        said = bytearray()
        while len(said) < MOST_BYTES:
            connection.settimeout(_left(deadline))
            piece = connection.recv(65_536)
            if not piece:
                break
            said += piece
        return bytes(said)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def parse_url(url: str) -> Address:
    """The address in a base URL. Raises `ValueError`."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host")
    return Address(parts.hostname, parts.port or (443 if is_tls else 80), is_tls, parts.path.rstrip("/"))


def _config_file(environ: Mapping[str, str]) -> str:
    """As `Paths` and platformdirs have it, without loading them."""
    if home := environ.get("HELI_HOME"):
        return os.path.join(os.path.expanduser(home), "config.toml")  # noqa: PTH111, PTH118
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support/heli/config.toml")  # noqa: PTH111
    base = environ.get("XDG_CONFIG_HOME", "").strip() or os.path.expanduser("~/.config")  # noqa: PTH111
    return f"{base}/heli/config.toml"


def _read(file: str) -> dict[str, Any]:
    try:
        with Path(file).open("rb") as stream:
            import tomllib

            return tomllib.load(stream)
    except (OSError, ValueError):
        return {}

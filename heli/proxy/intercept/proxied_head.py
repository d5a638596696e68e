"""What a program asks of a proxy: the head of a CONNECT, or of a request for an `http://` URL."""

import base64
import binascii
import re
from urllib.parse import unquote, urlsplit

import msgspec

_AUTHORITY = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:/@\s]+)):([0-9]{1,5})")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class BadProxyHeadError(Exception):
    """It is not a request that a proxy understands; the message is for the program's user."""


class ProxiedHead(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the proxy. `host` is empty for one that is meant for heli itself."""

    method: str
    path: str
    """Path and query; the empty text for CONNECT."""
    host: str = ""
    port: int = 0
    lines: list[bytes]
    """The header lines, as they came."""
    user: str = ""
    """The user name that the program showed to its proxy."""

    @property
    def is_connect(self) -> bool:
        return self.method == "CONNECT"

    def values(self, name: bytes) -> list[bytes]:
        """The values of a header, whose name is in lower case."""
        pairs = (line.partition(b":") for line in self.lines)
        return [value.strip() for found, _, value in pairs if found.lower() == name]


def read_proxied_head(block: bytes) -> ProxiedHead:
    """Read a head up to and with its empty line. Raises `BadProxyHeadError`."""
    lines = block[:-4].split(b"\r\n")
    words = lines.pop(0).decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not _METHOD.fullmatch(words[0]):
        raise BadProxyHeadError("this is not an HTTP request")
    if any(not line or line[:1] in b" \t" or b"\r" in line or b"\n" in line for line in lines):
        raise BadProxyHeadError("its header lines are broken")
    method, target = words[:2]
    user = _user(lines)
    if method == "CONNECT":
        host, port = _authority(target)
        return ProxiedHead(method=method, path="", host=host, port=port, lines=lines, user=user)
    if target.startswith("/"):
        return ProxiedHead(method=method, path=target, lines=lines)
    host, port, path = _url(target)
    return ProxiedHead(method=method, path=path, host=host, port=port, lines=lines, user=user)


def _authority(target: str) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(target)
    if not match or not 0 < int(match[3]) < 65_536:
        raise BadProxyHeadError(f"{target[:200]!r} is not host:port")
    return (match[1] or match[2]).lower().rstrip("."), int(match[3])


def _url(target: str) -> tuple[str, int, str]:
    try:
        parts = urlsplit(target)
        port = parts.port or 80
    except ValueError:
        raise BadProxyHeadError("its target is not a URL") from None
    if parts.scheme.lower() != "http" or not parts.hostname:
        raise BadProxyHeadError(f"only http:// URLs are fetched without CONNECT, not {target[:200]!r}")
    if any(character <= " " for character in parts.hostname):
        raise BadProxyHeadError("its target is not a URL")
    after = target[target.index("//") + 2 :]
    cut = re.search(r"[/?#]", after)
    path = after[cut.start() :] if cut else "/"
    return parts.hostname.rstrip("."), port, path if path.startswith("/") else f"/{path}"


def _user(lines: list[bytes]) -> str:
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"proxy-authorization":
            scheme, _, text = value.strip().partition(b" ")
            if scheme.lower() == b"basic":
                try:
                    pair = base64.b64decode(text.strip(), validate=True).decode()
                except (binascii.Error, UnicodeDecodeError):
                    return ""
                return unquote(pair.partition(":")[0])
    return ""

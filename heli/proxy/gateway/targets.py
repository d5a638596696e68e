"""Where a call goes, and whether it may: no caller reaches this machine's own network through heli."""

import ipaddress
from collections.abc import Collection, Mapping
from http import HTTPStatus

import msgspec

from heli.providers.hosts import called_origin, find_host, listener_origin, origin_of
from heli.proxy.gateway.heads import RequestHead
from heli.proxy.resolving import Resolver
from heli.schema.exchange import Listener

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TargetRefusedError(Exception):
    """A call that must not, or cannot, be sent where it asks; told to the caller with `status`."""

    def __init__(self, reason: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(reason)
        self.status = status


class Target(msgspec.Struct, frozen=True):
    """Where to connect for a call."""

    origin: str
    """The provider's public origin, which the log tells."""
    host: str
    port: int
    is_tls: bool
    is_trusted: bool
    """The operator named this address, so that it may be private."""
    is_intercepted: bool = False
    """The interceptor handed the call over."""
    is_backend: bool = False
    """It is heli's own backend, for the log API."""

    @property
    def pool_key(self) -> str:
        """The same for targets that share connections."""
        return f"{self.origin} {self.host}:{self.port}"

    @property
    def host_header(self) -> bytes:
        """What the provider is told as its host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.is_tls else 80
        return (host if self.port == default else f"{host}:{self.port}").encode("ascii")


NOWHERE = Target("", "", 0, is_tls=False, is_trusted=False)
"""For calls that are refused."""


class Targets:
    """Chooses targets by the operator's settings."""

    def __init__(
        self, base_urls: Mapping[str, str], allowed: Collection[str], own_ports: Collection[int]
    ) -> None:
        self._base_urls = base_urls
        self._allowed_names = {entry.lower() for entry in allowed}
        self._allowed_networks = [network for entry in allowed if (network := _network(entry))]
        self._own_ports = frozenset(own_ports)
        self._known: dict[str, Target] = {}
        self._resolver = Resolver()

    def choose(self, listener: Listener, head: RequestHead) -> Target:
        """The target of a call. Raises `TargetRefusedError` with a reason for the caller."""
        if listener is Listener.GATEWAY:
            asked = head.heli.get(b"helicone-target-url")
            if not asked:
                raise TargetRefusedError("missing target: set the header Helicone-Target-Url")
            return self._parse(asked)
        heli = head.heli
        asked = heli.get(b"helicone-openai-api-base") or heli.get(b"helicone-target-url") if heli else None
        if not asked:
            return self.of(listener_origin(listener))
        target = self._parse(asked)
        if not target.is_trusted and find_host(target.origin) is None:
            raise TargetRefusedError(
                f"{target.origin} is not a known provider; list it in gateway.allow_targets,"
                " or call it through the gateway port with Helicone-Target-Url"
            )
        return target

    def _parse(self, asked: bytes) -> Target:
        try:
            origin = origin_of(asked.decode("ascii"))
            if len(origin) > _LONGEST_ORIGIN:
                raise ValueError(origin)
            return self.of(origin)
        except ValueError as error:
            raise TargetRefusedError("invalid target: it is not an http(s) URL with a host") from error

    def of(self, origin: str) -> Target:
        """The target for a public origin, which the operator may have redirected."""
        target = self._known.get(origin)
        if target is None:
            target = self._make(origin)
            if len(self._known) < 1024:
                self._known[origin] = target
        return target

    def _make(self, origin: str) -> Target:
        called = called_origin(origin, self._base_urls)
        scheme, _, authority = called.partition("://")
        host, _, port = authority.rpartition(":") if not authority.endswith("]") else (authority, "", "")
        if not host or not port.isdigit():
            host, port = authority, ""
        host = (
            host.removeprefix("[").removesuffix("]").encode("idna").decode()
            if ":" not in host
            else host.strip("[]")
        )
        number = int(port) if port else (443 if scheme == "https" else 80)
        trusted = called != origin or bool({host, f"{host}:{number}"} & self._allowed_names)
        return Target(origin, host, number, scheme == "https", trusted)

    async def resolve(self, target: Target) -> list[str]:
        """The addresses to connect to, checked.

        Raises `TargetRefusedError`, and `OSError` for a name that nobody knows.
        """
        found = await self._resolver.find(target.host, target.port)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for text in addresses:
            self._check(target, ipaddress.ip_address(text.partition("%")[0]))
        return addresses

    def _check(self, target: Target, address: Address) -> None:
        if target.is_backend:
            return
        if address.is_loopback and target.port in self._own_ports:
            raise TargetRefusedError("the target is heli itself")
        if target.is_trusted or is_public(address):
            return
        if any(
            address in network for network in self._allowed_networks if network.version == address.version
        ):
            return
        raise TargetRefusedError(
            f"the target {target.host} is a private address; if it is meant, list it in gateway.allow_targets"
        )


_EMBEDDING_V4 = (
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
"""Networks whose addresses hold an IPv4 address, and how far from the right it stands."""


_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in ("192.88.99.0/24", "fec0::/10", "2001:20::/28", "2001:10::/28")
)
"""Networks of special use that the standard library calls global."""
_LONGEST_ORIGIN = 300


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, also behind translations of IPv4 into IPv6."""
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.teredo is not None:
            return False
        for network, shift in _EMBEDDING_V4:
            if address in network:
                return is_public(ipaddress.IPv4Address((int(address) >> shift) & 0xFFFF_FFFF))
    return address.is_global and not address.is_multicast and not address.is_reserved


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None

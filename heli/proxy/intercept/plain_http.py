"""Requests for `http://` URLs, which programs send to their proxy without CONNECT.

Each is passed on with its bodies unread, one on a connection. One for a host on the list goes to the gateway.
"""

import asyncio
import contextlib
from collections.abc import Callable
from http import HTTPStatus

from heli.providers.model_hosts import HostList
from heli.proxy.gateway.targets import TargetRefusedError
from heli.proxy.intercept.counters import Counters
from heli.proxy.intercept.dialing import Dialer, Streams
from heli.proxy.intercept.gateway_watch import GatewayWatch
from heli.proxy.intercept.proxied_head import ProxiedHead
from heli.proxy.intercept.relay import relay
from heli.proxy.intercept.replies import reply
from heli.proxy.intercept.tagging import Pairs, for_provider, handed_over, header_bytes
from heli.proxy.intercept.tunnelled import Tunnelled
from heli.proxy.outbound_proxy import OutboundProxy

_HOP = frozenset({b"connection", b"keep-alive"})


class PlainHttp:
    """Passes requests for `http://` URLs on."""

    def __init__(
        self,
        hosts: Callable[[], HostList],
        dialer: Dialer,
        watch: GatewayWatch,
        secret: str,
        counters: Counters,
    ) -> None:
        self._hosts = hosts
        self._dialer = dialer
        self._watch = watch
        self._secret = secret
        self._counters = counters

    async def pass_on(self, head: ProxiedHead, facts: Tunnelled, streams: Streams) -> None:
        self._counters.plain_requests += 1
        fields = _fields(head)
        origin = _origin(head)
        try:
            if head.host in self._hosts() and await self._watch.accepts():
                run = await facts.find_run(0.1)
                fields = handed_over(fields, origin, self._secret, run, 32_768 - header_bytes(fields))
                far = await asyncio.open_connection(self._watch.host, self._watch.port)
                first = _first_line(head, None)
                self._counters.handed_over += 1
            else:
                fields = for_provider(fields) if head.host in self._hosts() else fields
                proxy = self._dialer.proxy_for("http", head.host, head.port)
                far = await self._dialer.open_for(facts, "http")
                first = _first_line(head, proxy)
                if proxy is not None and proxy.authorization:
                    fields = (*fields, (b"Proxy-Authorization", proxy.authorization.encode("latin-1")))
        except TargetRefusedError as refused:
            self._counters.targets_refused += 1
            streams[1].write(reply(HTTPStatus.FORBIDDEN, f"heli: {refused}\n"))
            return
        except (OSError, TimeoutError) as error:
            told = str(error) or "it did not answer in time"
            streams[1].write(reply(HTTPStatus.BAD_GATEWAY, f"heli: {head.host} cannot be reached: {told}\n"))
            return
        try:
            far[1].write(_assemble(first, fields, is_upgrade=_is_upgrade(head)))
            await relay(streams, far, self._counters.traffic(head.host))
        finally:
            with contextlib.suppress(OSError):
                far[1].close()


def _fields(head: ProxiedHead) -> Pairs:
    """The headers that travel on."""
    pairs = [line.partition(b":") for line in head.lines]
    named = {option.strip().lower() for value in head.values(b"connection") for option in value.split(b",")}
    spared = {b"upgrade", b"host", b"content-length", b"transfer-encoding"}
    dropped = _HOP | (named - spared)
    return tuple(
        (name, value.strip())
        for name, _, value in pairs
        if name.lower() not in dropped and not name.lower().startswith(b"proxy-")
    )


def _is_upgrade(head: ProxiedHead) -> bool:
    return bool(head.values(b"upgrade"))


def _first_line(head: ProxiedHead, proxy: OutboundProxy | None) -> bytes:
    target = _origin(head) + head.path if proxy is not None else head.path
    return f"{head.method} {target} HTTP/1.1".encode("latin-1")


def _origin(head: ProxiedHead) -> str:
    name = f"[{head.host}]" if ":" in head.host else head.host
    return f"http://{name}" if head.port == 80 else f"http://{name}:{head.port}"


def _assemble(first: bytes, fields: Pairs, *, is_upgrade: bool) -> bytes:
    """One request to a connection: its end is the end of the reply, whatever that's framing."""
    last = b"Connection: upgrade" if is_upgrade else b"Connection: close"
    lines = [first, *(name + b": " + value for name, value in fields), last]
    return b"\r\n".join([*lines, b"", b""])

"""Making connections to providers, for calls that found none at rest.

What waits is here, and in `own_routes` and `draining`, and not in the modules that may be compiled: a
compiled coroutine is cancelled in a way that Python warns of and will take away.
"""

import asyncio
import ssl
from http import HTTPStatus
from typing import cast

from heli.proxy.gateway.call import Call
from heli.proxy.gateway.counters import Counters
from heli.proxy.gateway.outside import Outside
from heli.proxy.gateway.targets import Target, TargetRefusedError, Targets
from heli.proxy.gateway.upstream import Pool, UpstreamConnection
from heli.proxy.outbound_proxy import OutboundProxy, connect_through, start_tls_within
from heli.schema.exchange import Outcome

UNKNOWN_FOR_S = 60.0
"""A name that this machine does not know is not asked for again for so long, where a proxy leads to it."""
_MOST_UNKNOWN = 1024


class Connector:
    """Makes the connections of one worker."""

    def __init__(
        self, targets: Targets, outside: Outside, counters: Counters, pool: Pool, timeout_s: float
    ) -> None:
        self._targets = targets
        self._outside = outside
        self._counters = counters
        self._pool = pool
        self._timeout_s = timeout_s
        self._tls: ssl.SSLContext | None = None
        self._unknown: dict[str, float] = {}
        """Until when a name counts as unknown, by the loop's clock."""

    async def serve(self, call: Call) -> None:
        """Find the call a connection, or tell it why there is none."""
        target = call.outgoing.target
        try:
            upstream = await self._connect(target)
        except TargetRefusedError as refused:
            call.refuse(refused)
        except TimeoutError:
            reason = f"{target.origin} did not accept a connection in time"
            call.fail(HTTPStatus.GATEWAY_TIMEOUT, Outcome.TIMEOUT, reason)
        except OSError as error:
            reason = f"{target.origin} cannot be reached: {error}"
            call.fail(HTTPStatus.BAD_GATEWAY, Outcome.UPSTREAM_ERROR, reason)
        except Exception as error:
            call.caller.gateway.own_fault("connect")
            call.fail(HTTPStatus.BAD_GATEWAY, Outcome.UPSTREAM_ERROR, f"heli could not connect: {error!r}")
        else:
            call.connected(upstream)

    async def _connect(self, target: Target) -> UpstreamConnection:
        """A fresh connection, to an address that was checked.

        Raises `TargetRefusedError`, `TimeoutError`, and `OSError` (which TLS errors are) when it fails.
        """
        async with asyncio.timeout(self._timeout_s):
            proxy = self._outside.proxy_to(target)
            if proxy is not None:
                return await self._connect_through(proxy, target)
            addresses = await self._targets.resolve(target)
            for address in addresses[:-1]:
                try:
                    async with asyncio.timeout(self._timeout_s / len(addresses)):
                        return await self._open(target, address)
                except ssl.SSLError:
                    raise
                except OSError:  # which a timeout is too: the next address may answer
                    continue
            if addresses:
                return await self._open(target, addresses[-1])
        raise OSError(f"{target.host} has no address")

    async def _connect_through(self, proxy: OutboundProxy, target: Target) -> UpstreamConnection:
        """By way of the machine's own proxy."""
        await self._check_name(target)
        tls = self._tls_context()
        made = self._unconnected(target)
        protocol = cast(asyncio.Protocol, made)
        transport, _ = await connect_through(proxy, target.host, target.port, tls)
        try:
            if target.is_tls:
                made.connection_made(await start_tls_within(transport, protocol, tls, target.host))
            else:
                transport.set_protocol(protocol)
                made.connection_made(transport)
                transport.resume_reading()
        except BaseException:
            transport.abort()
            raise
        self._counters.connections_opened += 1
        return made

    async def _check_name(self, target: Target) -> None:
        """Refuse a private target, as far as its name is known here: the proxy may know names that we do not.

        Looking for such a name may take as long as it is let.
        """
        now = asyncio.get_running_loop().time()
        if self._unknown.get(target.host, 0.0) > now:
            return
        try:
            async with asyncio.timeout(self._timeout_s / 4):
                await self._targets.resolve(target)
        except OSError:
            if len(self._unknown) >= _MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[target.host] = now + UNKNOWN_FOR_S

    async def _open(self, target: Target, address: str) -> UpstreamConnection:
        """A connection to one address of the target."""
        loop = asyncio.get_running_loop()
        tls = self._tls_context() if target.is_tls else None
        name = target.host if tls else None
        made = self._unconnected(target)
        protocol = cast(asyncio.Protocol, made)
        await loop.create_connection(lambda: protocol, address, target.port, ssl=tls, server_hostname=name)
        self._counters.connections_opened += 1
        return made

    def _unconnected(self, target: Target) -> UpstreamConnection:
        return UpstreamConnection(self._pool, target.pool_key)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = self._outside.tls_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

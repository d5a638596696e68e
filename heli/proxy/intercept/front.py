"""The interceptor's port: reads what a program asks of its proxy and decides what becomes of it.

Only connections to hosts on the list are decrypted, which is decided by the name in CONNECT, before any TLS.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy.layers.tls import parse_client_hello
from OpenSSL import SSL

from heli.providers.model_hosts import DOCTOR_HOST, HostList
from heli.proxy.gateway.faults import strike
from heli.proxy.gateway.targets import TargetRefusedError
from heli.proxy.intercept.counters import TOO_OLD, Counters
from heli.proxy.intercept.dialing import Dialer, Streams, tune
from heli.proxy.intercept.plain_http import PlainHttp
from heli.proxy.intercept.proxied_head import BadProxyHeadError, ProxiedHead, read_proxied_head
from heli.proxy.intercept.relay import relay
from heli.proxy.intercept.replies import reply
from heli.proxy.intercept.runs import Runs
from heli.proxy.intercept.tunnelled import Tunnelled
from heli.schema.run import Run
from heli.schema.settings import GatewaySettings

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 4000
LONGEST_HELLO = 64 * 1024
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

type Decrypt = Callable[[Tunnelled, Streams, bytes], Awaitable[None]]
type AnswerOwn = Callable[[ProxiedHead], bytes]


class Front:
    """Serves programs' connections."""

    def __init__(
        self,
        limits: GatewaySettings,
        hosts: Callable[[], HostList],
        prepare: Callable[[str, Run | None], SSL.Context | None],
        runs: Runs,
        dialer: Dialer,
        plain: PlainHttp,
        counters: Counters,
        decrypt: Decrypt,
        answer_own: AnswerOwn,
    ) -> None:
        self._limits = limits
        self._hosts = hosts
        self._prepare = prepare
        self._runs = runs
        self._dialer = dialer
        self._plain = plain
        self._counters = counters
        self._decrypt = decrypt
        self._answer_own = answer_own
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from a program, to its end. Never raises."""
        if len(self.writers) >= min(self._limits.max_connections, MOST_CONNECTIONS):
            self._counters.connections_refused += 1
            writer.transport.abort()
            return
        self.writers.add(writer)
        try:
            tune(writer)
            await self._serve((reader, writer))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # one of the two sides went away
        except Exception:
            self._own_fault("a connection failed")
        finally:
            self.writers.discard(writer)
            with contextlib.suppress(OSError):
                writer.close()

    async def _serve(self, streams: Streams) -> None:
        reader, writer = streams
        try:
            async with asyncio.timeout(self._limits.header_timeout_s):
                block = await reader.readuntil(b"\r\n\r\n")
            head = read_proxied_head(block)
        except asyncio.LimitOverrunError:
            await self._refuse(writer, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "its head is too large")
        except BadProxyHeadError as bad:
            await self._refuse(writer, HTTPStatus.BAD_REQUEST, str(bad))
        else:
            if not head.host:
                writer.write(self._answer_own(head))
                await writer.drain()
            elif head.is_connect:
                await self._connect(head, streams)
            else:
                await self._plain.pass_on(head, self._facts(head, writer), streams)

    async def _refuse(self, writer: asyncio.StreamWriter, status: HTTPStatus, reason: str) -> None:
        self._counters.heads_refused += 1
        writer.write(reply(status, f"heli: {reason}\n"))
        await writer.drain()

    # CONNECT.

    async def _connect(self, head: ProxiedHead, streams: Streams) -> None:
        facts = self._facts(head, streams[1])
        try:
            why_not = await self._why_not(facts)
            if why_not is None:
                await self._begin_decrypting(facts, streams)
            else:
                await self._tunnel(facts, streams, why_not)
        finally:
            if facts.searching is not None:
                facts.searching.cancel()

    async def _why_not(self, facts: Tunnelled) -> str | None:
        """Why a connection is not decrypted; `None` when it is, empty when its host is not on the list."""
        try:
            return await self._look_why_not(facts)
        except Exception:
            self._own_fault("a connection is passed through unread, as heli failed to decrypt it")
            return "heli failed to decrypt it; see its log"

    async def _look_why_not(self, facts: Tunnelled) -> str | None:
        strike("hosts")
        if facts.host not in self._hosts():
            return ""
        facts.tls = self._prepare(facts.host, facts.run)
        if facts.tls is None:
            return TOO_OLD
        if self._counters.does_refuse(facts.host, facts.run.id if facts.run else ""):
            return "the program refuses heli's certificate"
        if facts.host != DOCTOR_HOST and not await self._dialer.is_within_reach(facts.host, facts.port):
            return "it is at a private address that gateway.allow_targets does not list"
        return None

    async def _begin_decrypting(self, facts: Tunnelled, streams: Streams) -> None:
        """Say yes, and look at what the program says first: what is not TLS with HTTP/1.1 is left alone."""
        streams[1].write(ESTABLISHED)
        data, why_not = await self._read_hello(facts, streams[0])
        if why_not:
            await self._tunnel(facts, streams, why_not, first=data)
        else:
            await self._decrypt(facts, streams, data)

    async def _read_hello(self, facts: Tunnelled, reader: asyncio.StreamReader) -> tuple[bytes, str]:
        """The first bytes of a connection, and why it cannot be decrypted."""
        data = b""
        async with asyncio.timeout(self._limits.header_timeout_s):
            while len(data) < LONGEST_HELLO:
                piece = await reader.read(LONGEST_HELLO)
                data += piece
                if not piece or (len(data) > 2 and not starts_like_tls_record(data)):
                    return data, "it does not speak TLS"
                try:
                    hello = parse_client_hello(data)
                except ValueError:
                    return data, "it does not speak TLS"
                if hello is None:
                    continue
                if hello.sni is not None and hello.sni.lower().rstrip(".") != facts.host:
                    return data, "it asks for another host inside"
                if hello.alpn_protocols and b"http/1.1" not in hello.alpn_protocols:
                    return data, "it does not speak HTTP/1.1"
                return data, ""
        return data, "it does not speak TLS"

    async def _tunnel(self, facts: Tunnelled, streams: Streams, why: str, first: bytes | None = None) -> None:
        """Pass everything through unread. `first` came already, after a yes."""
        writer = streams[1]
        try:
            far = await self._dialer.open_for(facts, "https")
        except TargetRefusedError as refused:
            self._counters.targets_refused += 1
            if first is None:
                writer.write(reply(HTTPStatus.FORBIDDEN, f"heli: {refused}\n"))
            return
        except (OSError, TimeoutError) as error:
            if first is None:
                told = str(error) or "it did not answer in time"
                writer.write(reply(HTTPStatus.BAD_GATEWAY, f"heli: {facts.host} cannot be reached: {told}\n"))
            return
        try:
            writer.write(ESTABLISHED) if first is None else far[1].write(first)
            traffic = self._counters.traffic(facts.host)
            traffic.reason = why
            await relay(streams, far, traffic)
        finally:
            with contextlib.suppress(OSError):
                far[1].close()

    # Whose it is.

    def _facts(self, head: ProxiedHead, writer: asyncio.StreamWriter) -> Tunnelled:
        facts = Tunnelled(head.host, head.port, None)
        try:
            strike("run")
            facts.run = self._runs.named(head.user)
            if facts.run is None:
                facts.searching = self._search(writer)
        except Exception:
            self._own_fault("a call has no run, as heli failed to look for it")
        return facts

    def _own_fault(self, what: str) -> None:
        self._counters.own_faults += 1
        log.exception(what)

    def _search(self, writer: asyncio.StreamWriter) -> "asyncio.Task[Run | None] | None":
        peer, own = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        if not peer or not own:
            return None
        return asyncio.ensure_future(self._runs.of_peer(peer[:2], own[:2]))

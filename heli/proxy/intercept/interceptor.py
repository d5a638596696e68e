"""The interceptor: what its connections share, its clock, and its own routes."""

import asyncio
import gc
import hmac
import logging
import signal
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import msgspec
from mitmproxy.master import Master
from mitmproxy.options import Options

from heli.providers.model_hosts import HostList
from heli.proxy.gateway.faults import strike
from heli.proxy.gateway.targets import Targets
from heli.proxy.intercept.addon import ModelCalls, Tls
from heli.proxy.intercept.authority import ALLOWED, allowed_hosts
from heli.proxy.intercept.bundle import make_upstream_roots
from heli.proxy.intercept.counters import Counters, render
from heli.proxy.intercept.decrypted import DecryptedConnection, PushedBack
from heli.proxy.intercept.dialing import Dialer, Streams
from heli.proxy.intercept.doctor_host import DoctorHost
from heli.proxy.intercept.front import Front
from heli.proxy.intercept.gateway_watch import GatewayWatch
from heli.proxy.intercept.guarded_hooks import guard_hooks
from heli.proxy.intercept.leaves import Leaves
from heli.proxy.intercept.plain_http import PlainHttp
from heli.proxy.intercept.proxied_head import ProxiedHead
from heli.proxy.intercept.replies import reply
from heli.proxy.intercept.runs import Runs
from heli.proxy.intercept.service import BACKLOG
from heli.proxy.intercept.tunnelled import Tunnelled
from heli.proxy.outbound_proxy import OutboundProxies
from heli.schema.paths import Paths, make_private, read_or_make_secret
from heli.schema.settings import Loaded

log = logging.getLogger(__name__)

SWEEP_S = 1.0
MOST_THREADS = 64
_OWN_NAMES = frozenset({"", "localhost", "127.0.0.1", "[::1]"})


class AllowedHosts:
    """The list of hosts to decrypt, which `heli ca allow` may change while the process runs."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._changed: int | None = None
        self._list = HostList(allowed_hosts(paths))
        self._looked_at = 0.0

    def __call__(self) -> HostList:
        now = time.monotonic()
        if now - self._looked_at > 1.0:
            self._looked_at = now
            changed = self._change()
            if changed != self._changed:
                self._changed, self._list = changed, HostList(allowed_hosts(self._paths))
        return self._list

    def _change(self) -> int:
        try:
            return (self._paths.authority / ALLOWED).stat().st_mtime_ns
        except OSError:
            return 0


class Interceptor:
    """Everything that the connections of the interceptor share."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str]) -> None:
        settings, paths = loaded.settings, loaded.paths
        ports = settings.ports
        own_ports = frozenset(msgspec.structs.asdict(ports).values())
        self._settings = settings
        self._secret = read_or_make_secret(paths.intercept_secret)
        self._connections: dict[str, DecryptedConnection] = {}
        self.counters = Counters()
        self.watch = GatewayWatch(_loopback(settings.host), ports.gateway)
        proxies = OutboundProxies(environ, (ports.intercept,))
        targets = Targets({}, settings.gateway.allow_targets, own_ports)
        roots = make_upstream_roots(paths, environ)
        dialer = Dialer(targets, proxies, roots, settings.gateway.connect_timeout_s)
        hosts = AllowedHosts(paths)
        self._runs = Runs(paths.runs)
        self._leaves = leaves = Leaves(paths)
        plain = PlainHttp(hosts, dialer, self.watch, self._secret, self.counters)
        self.front = Front(
            settings.gateway,
            hosts,
            leaves.prepare,
            self._runs,
            dialer,
            plain,
            self.counters,
            self._decrypt,
            self._answer,
        )
        self._doctor = DoctorHost()
        self._options = options = Options()
        self._master = Master(options)
        for addon in (
            ModelCalls(
                settings, self._secret, self.watch, proxies, self.counters, self._connections, self._doctor
            ),
            Tls(self.counters, self._connections),
        ):
            guard_hooks(addon, self.counters)
            self._master.addons.add(addon)  # type: ignore[no-untyped-call]
        options.update(  # type: ignore[no-untyped-call]
            confdir=str(make_private(paths.cache / "mitmproxy")),
            http2=False,
            upstream_cert=False,
            websocket=False,
            ssl_verify_upstream_trusted_ca=str(roots),
            tcp_timeout=int(settings.gateway.idle_timeout_s),
        )

    async def run(self, stopped: asyncio.Event, sock: socket.socket) -> None:
        """Serve until told to stop, then let the calls under way end."""
        await self.watch.look()
        await self._doctor.start()
        settings = self._settings
        tasks = [asyncio.ensure_future(each) for each in (self.watch.watch(), self._sweep())]
        running = asyncio.ensure_future(self._master.run())
        server = await asyncio.start_server(
            self.front.serve, sock=sock, limit=settings.gateway.max_head_bytes, backlog=BACKLOG
        )
        gc.collect()
        gc.freeze()  # What mitmproxy has loaded stays; to look through it would hold up all calls for 30 ms.
        gc.collect()  # Or Python waits with the next whole collection for garbage a quarter of that size.
        log.info("the interceptor is ready on %d", settings.ports.intercept)
        try:
            await stopped.wait()
            server.close()
            await self._drain(settings.gateway.drain_timeout_s)
        finally:
            self._doctor.close()
            self._master.shutdown()  # type: ignore[no-untyped-call]
            for task in tasks:
                task.cancel()
            await asyncio.gather(running, *tasks, return_exceptions=True)

    async def _decrypt(self, facts: Tunnelled, streams: Streams, first: bytes) -> None:
        reader = PushedBack(streams[0], first)
        connection = DecryptedConnection(self._master, reader, streams[1], self._options, facts)
        self._connections[connection.client.id] = connection
        try:
            await connection.handle_client()
        finally:
            self.counters.own_faults += connection.has_crashed
            del self._connections[connection.client.id]

    async def _sweep(self) -> None:
        limit_s = self._settings.gateway.header_timeout_s
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                self._sweep_once(limit_s)
            except Exception:
                self.counters.own_faults += 1
                log.exception("a sweep failed")

    def _sweep_once(self, limit_s: float) -> None:
        strike("sweep")
        now = time.monotonic()
        for connection in list(self._connections.values()):
            connection.forget_closed()
            if connection.is_late(now, limit_s):
                self.counters.heads_refused += 1
                connection.end()

    async def _drain(self, limit_s: float) -> None:
        """Connections that rest end now, those with a call under way when it has ended."""
        deadline = time.monotonic() + limit_s
        while self._connections and time.monotonic() < deadline:
            for connection in list(self._connections.values()):
                if connection.is_idle:
                    connection.end()
            await asyncio.sleep(0.05)
        for writer in list(self.front.writers):
            writer.transport.abort()

    # The interceptor's own routes.

    def _answer(self, head: ProxiedHead) -> bytes:
        host = (head.values(b"host") or [b""])[0].decode("latin-1")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in _OWN_NAMES or head.method != "GET":
            return reply(HTTPStatus.FORBIDDEN, "heli: this is a proxy; set HTTPS_PROXY to it\n")
        match head.path:
            case "/healthcheck":
                return reply(HTTPStatus.OK, "")
            case "/metrics":
                return self._metrics()
            case "/status" if self._is_owner(head):
                return reply(HTTPStatus.OK, self._status(), "application/json")
        return reply(HTTPStatus.NOT_FOUND, "heli: this is a proxy; set HTTPS_PROXY to it\n")

    def _metrics(self) -> bytes:
        try:
            strike("metrics")
            faults = self._runs.faults + self.watch.faults
            text = render(self.counters, faults, self.watch.is_up, len(self.front.writers))
        except Exception:
            self.counters.own_faults += 1
            log.exception("the metrics cannot be told")
            return reply(HTTPStatus.INTERNAL_SERVER_ERROR, "the metrics cannot be told\n")
        return reply(HTTPStatus.OK, text, "text/plain; version=0.0.4")

    def _is_owner(self, head: ProxiedHead) -> bool:
        """Which hosts were called is told to nobody but the user whose programs called them."""
        shown = (head.values(b"authorization") or [b""])[0]
        return hmac.compare_digest(shown, f"Bearer {self._secret}".encode())

    def _status(self) -> bytes:
        counters = self.counters
        return msgspec.json.encode(
            {
                "gateway_is_up": self.watch.is_up,
                "handed_over": counters.handed_over,
                "sent_directly": counters.sent_directly,
                "refusals": counters.refusals,
                "tunnels": counters.hosts,
                "tunnelled": counters.tunnelled,
                "unreached": self._leaves.unreached(),
            }
        )


def _loopback(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


async def serve(loaded: Loaded, environ: Mapping[str, str], sock: socket.socket) -> None:
    """Serve on a socket until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    # mitmproxy resolves names there: some that nobody answers for must not hold up the others.
    loop.set_default_executor(ThreadPoolExecutor(MOST_THREADS, "heli"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await Interceptor(loaded, environ).run(stopped, sock)

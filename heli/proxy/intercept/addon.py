"""What heli does to decrypted calls: gives each to the gateway, or to the provider when there is no gateway.

The hooks of addons for mitmproxy; `guarded_hooks` tells what holds for all of them. None keeps a flow, and
bodies stream in both directions.
"""

import logging
from typing import Any

from mitmproxy import http, tcp, tls
from mitmproxy.addonmanager import Loader
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.connection import Server

from heli.providers.hosts import called_origin
from heli.providers.model_hosts import DOCTOR_HOST
from heli.proxy.intercept.counters import Counters
from heli.proxy.intercept.decrypted import DecryptedConnection
from heli.proxy.intercept.doctor_host import DoctorHost
from heli.proxy.intercept.gateway_watch import GatewayWatch
from heli.proxy.intercept.tagging import for_provider, handed_over, header_bytes
from heli.proxy.outbound_proxy import OutboundProxies
from heli.schema.settings import Settings

log = logging.getLogger(__name__)

RUN_PATIENCE_S = 0.1
"""A call waits no longer to learn whose it is."""


class Tls:
    """TLS with providers as mitmproxy has it, which verifies them; and what came of TLS with programs."""

    def __init__(self, counters: Counters, connections: dict[str, DecryptedConnection]) -> None:
        self._verifying = TlsConfig()
        self._counters = counters
        self._connections = connections

    def load(self, loader: Loader) -> None:
        """The options of it."""
        self._verifying.load(loader)  # type: ignore[no-untyped-call]

    def tls_start_server(self, data: tls.TlsData) -> None:
        self._verifying.tls_start_server(data)

    def tls_established_client(self, data: tls.TlsData) -> None:
        facts = self._connections[data.conn.id].facts
        self._counters.accepted(facts.host, facts.run.id if facts.run else "")

    def tls_failed_client(self, data: tls.TlsData) -> None:
        connection = self._connections.get(data.conn.id)
        reason = data.conn.error or ""
        if connection is None or reason == "connection closed early":
            return
        facts = connection.facts
        run = facts.run.id if facts.run else ""
        self._counters.refused(facts.host, run, reason, is_alert="alert" in reason)
        if self._counters.does_refuse(facts.host, run):
            log.warning("%s is tunnelled from now on: the program refused heli's certificate", facts.host)


class ModelCalls:
    """Sends each call on its way."""

    def __init__(
        self,
        settings: Settings,
        secret: str,
        watch: GatewayWatch,
        proxies: OutboundProxies,
        counters: Counters,
        connections: dict[str, DecryptedConnection],
        doctor: DoctorHost,
    ) -> None:
        self._limits = settings.gateway
        self._doctor = doctor
        self._base_urls = {
            key: provider.base_url for key, provider in settings.providers.items() if provider.base_url
        }
        self._secret = secret
        self._watch = watch
        self._proxies = proxies
        self._counters = counters
        self._connections = connections

    def load(self, loader: Loader) -> None:
        """Options that layers of mitmproxy ask for and that its own server would define."""
        text_or_nothing: Any = str | None
        loader.add_option("store_streamed_bodies", bool, False, "")
        loader.add_option("connection_strategy", str, "lazy", "", choices=("eager", "lazy"))
        loader.add_option("stream_large_bodies", text_or_nothing, None, "")
        loader.add_option("body_size_limit", text_or_nothing, None, "")
        loader.add_option("keep_host_header", bool, True, "")
        loader.add_option("normalize_outbound_headers", bool, True, "")
        loader.add_option("validate_inbound_headers", bool, True, "")
        loader.add_option("proxy_debug", bool, False, "")
        loader.add_option("heli_head_bytes", int, self._limits.max_head_bytes, "")

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        request = flow.request
        request.stream = True
        connection = self._connections.get(flow.client_conn.id)
        if connection is not None and connection.facts.host == DOCTOR_HOST:
            request.data.scheme = b"http"
            request.data.host, request.data.port = "127.0.0.1", self._doctor.port
        elif connection is not None and await self._has_gateway(connection, request):
            await self._hand_over(connection, request)
        else:
            self._send_directly(flow)

    def requestheaders_failed(self, flow: http.HTTPFlow) -> None:
        """The call is as it came, as it is handed over by the last step that could fail."""
        flow.request.stream = True
        self._send_directly(flow)

    async def _has_gateway(self, connection: DecryptedConnection, request: http.Request) -> bool:
        """Whether the gateway is there and would take this call."""
        limits, fields = self._limits, request.headers.fields
        is_too_much = (
            len(fields) + 8 > limits.max_headers
            or len(request.data.path) > limits.max_url_bytes
            or header_bytes(fields) + len(request.data.path) + 1024 > limits.max_head_bytes
        )
        if is_too_much or not self._watch.is_up:
            return False
        address = (self._watch.host, self._watch.port)
        return connection.is_connected_to(address) or await self._watch.accepts()

    async def _hand_over(self, connection: DecryptedConnection, request: http.Request) -> None:
        facts, fields = connection.facts, request.headers.fields
        run = await facts.find_run(RUN_PATIENCE_S)
        limits = self._limits
        room = limits.max_head_bytes - header_bytes(fields) - len(request.data.path) - 1024
        if run is not None and len(fields) + len(run.properties) + 8 > limits.max_headers:
            run = None
        origin = _origin(facts.host, facts.port)
        request.headers.fields = handed_over(fields, origin, self._secret, run, room)
        # The plain fields, as the properties would write another host into the request.
        request.data.scheme = b"http"
        request.data.host, request.data.port = self._watch.host, self._watch.port
        self._counters.handed_over += 1

    def _send_directly(self, flow: http.HTTPFlow) -> None:
        """To the provider, its certificate verified; unrecorded."""
        request = flow.request
        request.headers.fields = for_provider(request.headers.fields)
        origin = _origin(request.data.host, request.data.port)
        called = called_origin(origin, self._base_urls)
        if called != origin:
            request.url = called + request.path
        scheme, host, port = request.scheme, request.host, request.port
        proxy = self._proxies.find(scheme, host, port)
        if proxy is not None:
            flow.server_conn = Server(address=(host, port))
            flow.server_conn.via = ("https" if proxy.is_tls else "http", (proxy.host, proxy.port))
        self._counters.sent_directly += 1

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """A proxy of the machine's own is called: show it what it wants to see."""
        proxy = self._proxies.find("https", flow.request.host, flow.request.port)
        if proxy is not None and proxy.authorization:
            flow.request.headers["Proxy-Authorization"] = proxy.authorization

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        if flow.response is not None:
            flow.response.stream = True

    responseheaders_failed = responseheaders  # or the reply is held back, and a break looks like a failure

    def tcp_message(self, flow: tcp.TCPFlow) -> None:
        """Bytes of an upgraded connection have passed; they are the gateway's to record."""
        flow.messages.clear()

    def error(self, flow: http.HTTPFlow) -> None:
        self._counters.calls_failed += 1


def _origin(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}" if port == 443 else f"https://{name}:{port}"

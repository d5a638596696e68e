"""The data plane of one worker: what its connections share, its own routes, and its clock."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from heli.proxy.gateway import faults
from heli.proxy.gateway.call import Call
from heli.proxy.gateway.caller import CallerConnection
from heli.proxy.gateway.connecting import Connector
from heli.proxy.gateway.connection import Outbox
from heli.proxy.gateway.counters import Counters
from heli.proxy.gateway.handover import Handover
from heli.proxy.gateway.heads import RequestHead
from heli.proxy.gateway.identity import RequestIds
from heli.proxy.gateway.metrics import Gauge
from heli.proxy.gateway.outside import NOTHING_SPECIAL, Outside
from heli.proxy.gateway.recorder import Recorder, SpoolWriter
from heli.proxy.gateway.targets import Target, Targets
from heli.proxy.gateway.upstream import Pool
from heli.schema.exchange import Listener, Outcome
from heli.schema.settings import Settings

log = logging.getLogger(__name__)

SWEEP_S = 1.0
LEAVE_S = 2.0
"""How long a caller that is told off may go on sending before its connection is cut."""


class Gateway:
    """Everything that the connections of one worker share."""

    def __init__(
        self,
        settings: Settings,
        spool: SpoolWriter,
        worker: str,
        loop: asyncio.AbstractEventLoop,
        read_gauges: Callable[[], list[Gauge]] = list,
        intercept_secret: str = "",
        outside: Outside = NOTHING_SPECIAL,
    ) -> None:
        self.settings = settings
        self.loop = loop
        self.worker = worker
        self.counters = Counters()
        self.outbox = Outbox(loop, self.own_fault)
        self.recorder = Recorder(spool, worker, self.counters, loop)
        base_urls = {
            key: provider.base_url for key, provider in settings.providers.items() if provider.base_url
        }
        own_ports = msgspec.structs.asdict(settings.ports).values()
        self.targets = Targets(base_urls, settings.gateway.allow_targets, own_ports)
        self._handover = Handover(intercept_secret, self.targets)
        self.now = loop.time()
        """The coarse clock: right to a second, and free to read."""
        self.pool = Pool(self.counters, self.outbox, self.now)
        self._connector = Connector(
            self.targets, outside, self.counters, self.pool, settings.gateway.connect_timeout_s
        )
        self.request_ids = RequestIds()
        self.callers: set[CallerConnection] = set()
        self.is_draining = False
        self.emptied = asyncio.Event()
        """No caller is left, while it drains."""
        self.read_gauges = read_gauges
        self._backend = _backend_target(settings)
        self._sweeper = loop.call_later(SWEEP_S, self._sweep)

    # What connections ask.

    def admit(self, caller: CallerConnection) -> bool:
        """Take in a new connection, unless there are too many."""
        if len(self.callers) >= self.settings.gateway.max_connections:
            self.counters.connections_refused += 1
            return False
        self.callers.add(caller)
        return True

    def leave(self, caller: CallerConnection) -> None:
        self.callers.discard(caller)
        if self.is_draining and not self.callers:
            self.emptied.set()

    def target_of(self, caller: CallerConnection, head: RequestHead) -> Target:
        """Where a call goes. Raises `TargetRefusedError`."""
        if caller.listener is None:
            return self._backend
        if head.heli and caller.listener is Listener.GATEWAY:
            target = self._handover.target(head)
            if target is not None:
                return target
        return self.targets.choose(caller.listener, head)

    def connect_for(self, call: Call) -> asyncio.Task[None]:
        """Make the call a connection; its `connected` is told, or its `fail`."""
        return self.loop.create_task(self._connector.serve(call))

    def own_fault(self, where: str) -> None:
        """Count a failure of heli's own that no caller noticed, and tell it once in a while."""
        self.counters.own_faults += 1
        if self.counters.own_faults % 1000 == 1:
            log.exception("%s failed; the calls go on", where)

    # The clock.

    def _sweep(self) -> None:
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)
        self.now = self.loop.time()
        try:
            faults.strike("sweep")
            self.pool.sweep(self.now)
        except Exception:
            self.own_fault("sweep")
        for caller in list(self.callers):
            try:
                self._look_after(caller)
            except Exception:
                self.own_fault("sweep")

    def _look_after(self, caller: CallerConnection) -> None:
        """Cut what has lasted too long."""
        limits, now = self.settings.gateway, self.now
        call = caller.call
        rested = now - caller.rests_since
        if caller.is_leaving:
            has_read_all = caller.transport.get_write_buffer_size() == 0
            if rested > (LEAVE_S if has_read_all else limits.idle_timeout_s):
                caller.transport.abort()
        elif call is None:
            if caller.started_ns and rested > limits.header_timeout_s:
                caller.refuse_slow("the request's head did not come in time")
            elif not caller.started_ns and rested > limits.keepalive_timeout_s:
                caller.hang_up()
        elif now - call.touched > limits.idle_timeout_s:
            call.fail(
                HTTPStatus.GATEWAY_TIMEOUT,
                Outcome.TIMEOUT,
                f"nothing moved for {limits.idle_timeout_s:g} seconds",
            )
        elif not call.request_body.is_done and call.upstream is not None:
            self._look_at_body(caller)

    def _look_at_body(self, caller: CallerConnection) -> None:
        """A request's body must come at some least rate, unless it is the provider that does not read."""
        limits, call = self.settings.gateway, caller.call
        if call is None or self.now - caller.window_start < limits.body_timeout_s:
            return
        is_slow = caller.window_bytes < limits.body_min_bytes
        caller.window_start, caller.window_bytes = self.now, 0
        if is_slow and not call.is_held:
            call.fail(
                HTTPStatus.REQUEST_TIMEOUT, Outcome.CLIENT_ABORTED, "the request's body did not come in time"
            )

    # The end.

    def start_draining(self) -> None:
        """Take no more requests: connections that rest are ended at once, others after their call."""
        self.is_draining = True
        for caller in list(self.callers):
            if caller.call is None:
                caller.hang_up()

    def interrupt_calls(self) -> None:
        """End the calls that are still in flight."""
        for caller in list(self.callers):
            if caller.call is not None:
                caller.call.fail(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    Outcome.INTERRUPTED,
                    "heli was stopped before the call ended",
                )

    def close(self) -> None:
        """End every connection, and the clock."""
        for caller in list(self.callers):
            caller.transport.abort()
        self._sweeper.cancel()
        self.pool.close()


def _backend_target(settings: Settings) -> Target:
    parts = urlsplit(settings.backend_url)
    is_tls = parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    return Target(
        settings.backend_url, parts.hostname or "127.0.0.1", port, is_tls, is_trusted=True, is_backend=True
    )

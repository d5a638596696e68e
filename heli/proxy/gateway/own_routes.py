"""The gateway's own routes, which it answers itself on every port: health and metrics."""

from http import HTTPStatus
from typing import TYPE_CHECKING

from heli.proxy.gateway import faults
from heli.proxy.gateway.heads import RequestHead
from heli.proxy.gateway.metrics import render
from heli.proxy.gateway.replies import plain_reply

if TYPE_CHECKING:
    from heli.proxy.gateway.caller import CallerConnection
    from heli.proxy.gateway.gateway import Gateway

OWN_ROUTES = frozenset({b"/healthcheck", b"/metrics"})


async def answer_own_route(caller: "CallerConnection", head: RequestHead, rest: bytes) -> None:
    """Answer a request to one of the routes, and go on with what came behind it."""
    status, body, content_type = await _answer(caller.gateway, head.target)
    caller.own_route_answered(head, plain_reply(status, body, content_type, head.wants_close), rest)


async def _answer(gateway: "Gateway", target: bytes) -> tuple[HTTPStatus, bytes, bytes]:
    """Status, body and content type."""
    if target == b"/healthcheck":
        return HTTPStatus.OK, b"", b"text/plain"
    try:
        faults.strike("metrics")
        # In a thread, since it reads the disk.
        gauges = await gateway.loop.run_in_executor(None, gateway.read_gauges)
        text = render(gateway.counters, gateway.worker, gauges)
    except Exception:
        gateway.own_fault("metrics")
        return HTTPStatus.INTERNAL_SERVER_ERROR, b"the metrics cannot be read\n", b"text/plain"
    return HTTPStatus.OK, text, b"text/plain; version=0.0.4"

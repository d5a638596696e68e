"""The end of a worker: calls in flight may end, connections that rest are ended at once."""

import asyncio
import contextlib

from heli.proxy.gateway.gateway import LEAVE_S, Gateway


async def drain(gateway: Gateway) -> None:
    """Let the calls in flight end, within `gateway.drain_timeout_s`; then end everything."""
    gateway.start_draining()
    await _until_empty(gateway, gateway.settings.gateway.drain_timeout_s)
    gateway.interrupt_calls()
    await _until_empty(gateway, LEAVE_S)  # the last words should reach those who listen
    gateway.close()


async def _until_empty(gateway: Gateway, patience_s: float) -> None:
    if gateway.callers:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(gateway.emptied.wait(), patience_s)

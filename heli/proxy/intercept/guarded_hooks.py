"""The hooks by which mitmproxy asks heli's addons: what fails in one is counted, and the call goes on.

mitmproxy passes over a hook that raises. Where a call could not go on without it, the addon has a method of
the hook's name with `_failed` behind it, which is asked in its place.
"""

import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from mitmproxy.hooks import all_hooks
from mitmproxy.proxy.commands import StartHook

from heli.proxy.gateway.faults import strike
from heli.proxy.intercept.counters import Counters

log = logging.getLogger(__name__)


def hooks_of(addon: object) -> list[str]:
    """The hooks of connections and calls that an addon, or its class, has; not those of the start."""
    return [name for name, kind in all_hooks.items() if issubclass(kind, StartHook) and hasattr(addon, name)]


def guard_hooks(addon: object, counters: Counters) -> None:
    """Let none of an addon's hooks raise."""
    for name in hooks_of(addon):
        instead = getattr(addon, f"{name}_failed", _nothing)
        setattr(addon, name, partial(_ask, name, getattr(addon, name), instead, counters))


async def _ask(
    name: str, hook: Callable[..., Any], instead: Callable[..., Any], counters: Counters, *data: Any
) -> None:
    try:
        strike(name)
        told = hook(*data)
        if inspect.isawaitable(told):
            await told
    except Exception:
        counters.own_faults += 1
        log.exception("heli's part in %s failed", name)
        instead(*data)


def _nothing(*_: Any) -> None:
    pass

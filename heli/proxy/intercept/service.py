"""`heli serve intercept`: the process that decrypts calls to model APIs and gives them to the gateway.

It listens before it loads mitmproxy, which takes most of its start: a program that calls meanwhile, as after
a crash, waits for a moment instead of being turned away.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys

from heli.proxy.gateway.ports import bind
from heli.proxy.large_blocks import keep_large_blocks_apart
from heli.schema.errors import ExitCode, HeliError
from heli.schema.settings import Loaded

BACKLOG = 1024


def run_intercept(loaded: Loaded) -> int:
    """Serve until SIGTERM or SIGINT. Returns an exit code."""
    # mitmproxy tells of heads that it could not read, with whatever stands in them.
    logging.getLogger("mitmproxy").setLevel(logging.CRITICAL)
    keep_large_blocks_apart()
    try:
        with bind(loaded.settings.host, loaded.settings.ports.intercept, is_shared=False) as sock:
            sock.listen(BACKLOG)
            _run(loaded, sock)
    except HeliError as error:
        sys.stderr.write(error.as_lines)
        return error.exit_code
    return ExitCode.OK


def _run(loaded: Loaded, sock: socket.socket) -> None:
    from heli.proxy.intercept.authority import current
    from heli.proxy.intercept.bundle import refresh_bundles
    from heli.proxy.intercept.interceptor import serve

    current(loaded.paths)
    refresh_bundles(loaded.paths)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(loaded, os.environ, sock))

"""The backend process: listen, serve until told to stop, drain."""

import asyncio
import contextlib
import errno
import functools
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from heli.backend.lobby import Lobby
from heli.backend.own_prices import check_own_prices
from heli.backend.watched_stores import WatchedStores
from heli.schema.errors import ConflictError, ExitCode, HeliError
from heli.schema.settings import Loaded

logger = logging.getLogger("heli.backend")

BACKLOG = 512
DRAIN_S = 20
KEEP_ALIVE_S = 75


def run_backend(loaded: Loaded) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. The stores need not be there yet."""
    settings = loaded.settings
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s backend %(levelname)s %(message)s"
    )
    try:
        listener = listen(settings.host, settings.ports.backend)
        check_own_prices(loaded)
        stores = WatchedStores.open(loaded)
    except HeliError as error:
        sys.stderr.write(error.as_lines)
        return error.exit_code
    lobby = Lobby(stores, functools.partial(load_api, loaded, stores))
    server = DrainingServer(configure(lobby, settings.log_level), lobby)
    logger.info("listening on http://%s:%d", settings.host, settings.ports.backend)
    server.run(sockets=[listener])
    stores.close()
    logger.info("stopped")
    return ExitCode.OK if server.started and lobby.failure is None else ExitCode.FAILURE


def load_api(loaded: Loaded, stores: WatchedStores) -> Starlette:
    """The API with all that it takes, which is most of the backend's code."""
    from heli.backend.app import make_app, make_parts

    return make_app(make_parts(loaded, stores))


def configure(app: object, log_level: str = "info") -> uvicorn.Config:
    """How uvicorn serves heli."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning" if log_level == "info" else log_level,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        backlog=BACKLOG,
    )


class DrainingServer(uvicorn.Server):
    """uvicorn, but a signal ends the live feeds first, and the process with its own exit code."""

    def __init__(self, config: uvicorn.Config, lobby: Lobby) -> None:
        super().__init__(config)
        self._lobby = lobby
        lobby.on_failure = self.drain

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(name, self.drain)
        yield

    def drain(self) -> None:
        """Take no more calls, finish those at hand; a second signal cuts them off."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._lobby.drain()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `ConflictError` when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(
                f"port {port} is taken by another program",
                "stop it, or choose another one with HELI_PORTS__BACKEND",
            ) from error
        raise HeliError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.set_inheritable(True)
    return listener

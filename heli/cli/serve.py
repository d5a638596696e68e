"""`heli serve`: run one process alone, in the foreground, as on a server of its own."""

import logging
import os
from typing import Annotated

import typer

from heli.cli.root import make_app
from heli.cli.runs.before import changes_back
from heli.cli.supervisor.process_file import ProcessFile
from heli.cli.supervisor.services import ports_of
from heli.schema.settings import Loaded, load_settings

HELP = """Run one process alone, in the foreground: how heli is deployed on many machines.

\b
Examples:
  heli serve gateway --workers 4
  HELI_STORE__URL=http://heli:secret@clickhouse:8123/heli heli serve backend

SIGTERM drains it. On one machine `heli up` runs them all.
"""
app = make_app(help=HELP)


@app.callback()
def take_off_kit() -> None:
    """A service's own way out, and its roots, are those from before heli, wherever it is started."""
    for name, value in changes_back(os.environ).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@app.command()
def gateway(
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=256, help="Processes that share the ports.")
    ] = None,
) -> int:
    """The data plane: passes calls on and keeps a copy of each.

    \b
    Examples:
      heli serve gateway
      heli serve gateway --workers 4
      HELI_BACKEND__URL=http://backend:8585 heli serve gateway

    It needs no other process: what cannot be delivered waits in its spool folder.
    """
    from heli.proxy.gateway.service import run_gateway

    loaded = load_settings(flags={"gateway.workers": workers} if workers else None)
    logging.basicConfig(
        level=loaded.settings.log_level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    with _claim("gateway", loaded):
        return run_gateway(loaded, loaded.settings.gateway.workers)


@app.command()
def intercept() -> int:
    """The proxy for programs that are not told of heli: decrypts calls to model APIs, tunnels all else.

    \b
    Example:
      heli serve intercept

    Calls that it decrypts go to the gateway on this machine, or straight to the provider while there is
    none. It listens on this machine only.
    """
    from heli.proxy.intercept.service import run_intercept

    loaded = load_settings()
    logging.basicConfig(
        level=loaded.settings.log_level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    with _claim("intercept", loaded):
        return run_intercept(loaded)


@app.command()
def backend() -> int:
    """Ingest, the REST API and the live feed.

    \b
    Examples:
      heli serve backend
      HELI_STORE__URL=http://heli:secret@clickhouse:8123/heli heli serve backend
    """
    from heli.backend.service import run_backend

    loaded = load_settings()
    with _claim("backend", loaded):
        return run_backend(loaded)


@app.command()
def store() -> int:
    """The embedded request log, a ClickHouse engine.

    \b
    Example:
      heli serve store

    It speaks ClickHouse's HTTP interface, on loopback only. Not needed where `store.url` names a
    ClickHouse server.
    """
    from heli.backend.store_server import run_store

    loaded = load_settings()
    with _claim("store", loaded):
        return run_store(loaded)


def _claim(name: str, loaded: Loaded) -> ProcessFile:
    ports = ports_of(name, loaded.settings)
    return ProcessFile.claim(loaded.paths.processes, name, ports)

"""The embedded request log: the ClickHouse engine (chDB) behind ClickHouse's HTTP interface.

A process of its own, because the engine locks its folder, may take its process down with it, and is
confined before anybody's SQL reaches it. Whoever speaks to a ClickHouse server speaks to this one.
"""

from heli.schema.settings import Loaded

__all__ = ["run_store"]


def run_store(loaded: Loaded) -> int:
    """Serve the request log until SIGTERM or SIGINT; returns the exit code."""
    from heli.backend.store_server.service import run

    return run(loaded)

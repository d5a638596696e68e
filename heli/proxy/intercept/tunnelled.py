"""What is known of a program's connection through the proxy."""

import asyncio
from typing import TYPE_CHECKING

import msgspec

from heli.schema.run import Run

if TYPE_CHECKING:
    from mitmproxy.proxy.layers.http import HttpLayer
    from OpenSSL import SSL


class Tunnelled(msgspec.Struct):
    """What is known of a connection before it is decrypted."""

    host: str
    port: int
    run: Run | None
    """By the user name; the process may tell more."""
    searching: "asyncio.Task[Run | None] | None" = None
    """Looks for the run by the process."""
    tls: "SSL.Context | None" = None
    """What the program is shown, when it is decrypted."""
    http: "HttpLayer | None" = None
    """The layer that reads the decrypted bytes, when there are some."""
    error: str = ""

    async def find_run(self, patience_s: float) -> Run | None:
        """The run, for which a call does not wait longer than this."""
        if self.run is None and self.searching is not None:
            done, _ = await asyncio.wait([self.searching], timeout=patience_s)
            if done:
                self.run, self.searching = self.searching.result(), None
        return self.run

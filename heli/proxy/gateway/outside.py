"""How this machine reaches the internet: the proxy that leads there, and the roots that are trusted."""

import contextlib
import ssl
from collections.abc import Mapping
from pathlib import Path

from heli.proxy.gateway.targets import Target
from heli.proxy.outbound_proxy import OutboundProxies, OutboundProxy
from heli.proxy.root_files import named_sources
from heli.schema.settings import Loaded


class Outside:
    """What the environment says of the way to providers."""

    def __init__(self, proxies: OutboundProxies, roots: list[str]) -> None:
        self._proxies = proxies
        self._roots = roots
        """Files and folders of root certificates, besides the system's."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], loaded: Loaded) -> "Outside":
        proxies = OutboundProxies(environ, (loaded.settings.ports.intercept,))
        return cls(proxies, named_sources(environ, loaded.paths.state / "bundles"))

    def proxy_to(self, target: Target) -> OutboundProxy | None:
        if target.is_backend:
            return None
        return self._proxies.find("https" if target.is_tls else "http", target.host, target.port)

    def tls_context(self) -> ssl.SSLContext:
        """For connections to providers, whose certificates are always verified."""
        context = ssl.create_default_context()
        for root in map(Path, self._roots):
            with contextlib.suppress(OSError):  # which ssl's own errors are
                if root.is_dir():
                    context.load_verify_locations(capath=root)
                else:
                    context.load_verify_locations(cafile=root)
        return context


NOTHING_SPECIAL = Outside(OutboundProxies({}), [])

"""The certificates that programs are shown: short-lived, made when first needed, kept in memory."""

import datetime
from collections import OrderedDict
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from heli.proxy.gateway.faults import strike
from heli.proxy.intercept import authority
from heli.proxy.intercept.bundle import refresh_bundles
from heli.proxy.intercept.certificates import LEAF_LIFE, Authority
from heli.schema.paths import Paths
from heli.schema.run import Run

MOST_LEAVES = 256
FRESH_S = 5.0
"""The authority on disk is looked at again after so long, since a command may have replaced it."""


class Leaves:
    """TLS contexts for the hosts that are decrypted, each with a leaf of the authority."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._key = ec.generate_private_key(ec.SECP256R1())
        """One for all leaves, never written down."""
        self._contexts: OrderedDict[tuple[str, str], tuple[datetime.datetime, SSL.Context]] = OrderedDict()
        self._looked_at: datetime.datetime | None = None
        self._current: Authority
        self._previous: Authority | None

    def context(self, host: str, run: Run | None) -> SSL.Context:
        """A server's context for this host, for a program of this run."""
        now = datetime.datetime.now(datetime.UTC)
        self._look(now)
        signer = self._signer(run)
        known = self._contexts.get((host, signer.fingerprint))
        if known is not None and now < known[0]:
            self._contexts.move_to_end((host, signer.fingerprint))
            return known[1]
        context = self._make(host, signer, now)
        self._contexts[host, signer.fingerprint] = now + LEAF_LIFE / 2, context
        if len(self._contexts) > MOST_LEAVES:
            self._contexts.popitem(last=False)
        return context

    def prepare(self, host: str, run: Run | None) -> SSL.Context | None:
        """What will be shown for a host, made before the program is told yes: later it must not fail.

        `None` when the authority that the program knows may not sign for the host: it was made before that
        was one to decrypt.
        """
        strike("leaf")
        self._look(datetime.datetime.now(datetime.UTC))
        return self.context(host, run) if self._signer(run).permits(host) else None

    def unreached(self) -> list[str]:
        """The hosts to be decrypted for which the authority may not sign. Raises `OSError`."""
        self._look(datetime.datetime.now(datetime.UTC))
        return authority.unreached(self._paths, self._current)

    def _signer(self, run: Run | None) -> Authority:
        """The authority before, for programs that may know no other: all but those started since."""
        old = self._previous
        if old is None:
            return self._current
        # Certificates know whole seconds. A program that started meanwhile trusts both.
        if run is not None and run.started_ns / 1e9 > self._current.made_at.timestamp() + 1:
            return self._current
        return old

    def _look(self, now: datetime.datetime) -> None:
        if self._looked_at is None or abs((now - self._looked_at).total_seconds()) > FRESH_S:
            is_first, self._looked_at = self._looked_at is None, now
            try:
                found = authority.current(self._paths, now)
                if not is_first and found.fingerprint != self._current.fingerprint:
                    refresh_bundles(self._paths)
                self._current, self._previous = found, authority.previous(self._paths, now)
            except OSError:  # a full disk must not fail a call: what was read before still signs
                if is_first:
                    raise

    def _make(self, host: str, signer: Authority, now: datetime.datetime) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 34 KiB of each connection that rests
        context.use_certificate(signer.sign_leaf(host, self._key.public_key(), now))
        context.use_privatekey(self._key)
        context.set_alpn_select_callback(_choose_http_1)
        return context


def _choose_http_1(connection: SSL.Connection, offered: list[bytes]) -> Any:
    """The gateway speaks HTTP/1.1, as providers do to everybody; what speaks nothing else is tunnelled."""
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS

"""The layers of a decrypted connection, and what a call needs that mitmproxy's HTTP/1.1 does not know.

Interim replies and trailers are left out: mitmproxy takes an interim reply for the reply, and crashes at a
trailer.
"""

from typing import Any

import h11
from h11._readers import Http10Reader
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer, ServerTLSLayer
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode, RegisterHttpConnection
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from OpenSSL import SSL

from heli.proxy.intercept.tunnelled import Tunnelled


class _WithoutTrailers:
    """A reader of bodies that does not tell what stood behind them."""

    def __init__(self, reader: Any) -> None:
        self.of_h11 = reader

    def __call__(self, buffer: Any) -> Any:
        return _plain(self.of_h11(buffer))

    def read_eof(self) -> Any:
        return _plain(self.of_h11.read_eof())


def _plain(event: Any) -> Any:
    return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) and event.headers else event


class _BodyReader:
    """The attribute of a connection that holds the reader of the body under way."""

    def __get__(self, connection: Any, kind: type) -> Any:
        return connection.__dict__["_body_reader"]

    def __set__(self, connection: Any, reader: Any) -> None:
        connection.__dict__["_body_reader"] = _WithoutTrailers(reader)


class ProgramSide(Http1Server):
    """Reads a program's requests."""

    body_reader: Any = _BodyReader()


class FarSide(Http1Client):
    """Reads the replies of the gateway or a provider."""

    body_reader: Any = _BodyReader()

    @property
    def ends_with_connection(self) -> bool:
        """Whether a body is under way that lasts until the connection ends."""
        reader: Any = self.__dict__.get("_body_reader")
        return self.state == self.read_body and isinstance(reader.of_h11, Http10Reader)

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, events.DataReceived):
            while _begins_interim(bytes(self.buf)):
                if self.buf.maybe_extract_lines() is None:
                    return  # its end is still to come
        yield from super().read_headers(event)


def _begins_interim(data: bytes) -> bool:
    return data[:10] in (b"HTTP/1.1 1", b"HTTP/1.0 1") and len(data) > 11 and data[9:12] != b"101"


class CallsLayer(HttpLayer):
    """A decrypted connection's requests and replies."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, HTTPMode.transparent)
        self.connections[context.client] = ProgramSide(context.fork())

    def register_connection(self, command: RegisterHttpConnection) -> layer.CommandGenerator[None]:
        """A connection to the other side is there; mitmproxy has made its reader and not used it yet."""
        reader = self.connections[command.connection].context.layers[-1]
        if type(reader) is Http1Client:
            reader.__class__ = FarSide
            reader.state = reader.read_headers
        yield from super().register_connection(command)


class ProgramTls(ClientTLSLayer):
    """TLS with a program, by a leaf that is there already: no hook is asked for it, which might fail."""

    def __init__(self, context: Context, shown: SSL.Context) -> None:
        super().__init__(context)
        self._shown = shown

    def start_tls(self) -> layer.CommandGenerator[None]:
        self.tls = SSL.Connection(self._shown)
        self.tls.set_accept_state()
        yield from ()


def layers_of(facts: Tunnelled, context: Context) -> layer.Layer:
    """What a decrypted connection speaks: TLS, then HTTP/1.1, and nothing else is guessed."""
    assert facts.tls is not None, "it is decrypted, so there is a leaf"
    outer = ServerTLSLayer(context)
    outer.child_layer = inner = ProgramTls(context, facts.tls)
    facts.http = inner.child_layer = CallsLayer(context)
    return outer

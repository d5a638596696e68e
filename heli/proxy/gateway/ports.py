"""The ports of the data plane. Light, as the parent of the workers needs nothing else of them."""

import socket

from heli.schema.errors import ConflictError
from heli.schema.exchange import Listener
from heli.schema.settings import Settings


def listening_ports(settings: Settings) -> dict[Listener | None, int]:
    """`{listener: port}`; the log API has no listener of its own, it is only passed on."""
    ports = settings.ports
    return {
        Listener.OPENAI: ports.openai,
        Listener.ANTHROPIC: ports.anthropic,
        Listener.GATEWAY: ports.gateway,
        None: ports.log_api,
    }


def bind(host: str, port: int, *, is_shared: bool) -> socket.socket:
    """A socket bound to a port. Raises `ConflictError` when somebody else holds it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConflictError(
            f"port {port} on {host} cannot be used: {error.strerror}",
            "end the program that holds it, or choose another port (`heli config` lists them)",
        ) from error
    return sock

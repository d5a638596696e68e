"""The client of the backend that the settings name."""

from typing import TYPE_CHECKING

from heli.schema.settings import Loaded

if TYPE_CHECKING:
    from heli.client import Client


def open_client(loaded: Loaded) -> "Client":
    """httpx is loaded here and not before, so that commands that need no backend stay quick."""
    from heli.client import Client

    return Client(loaded.settings.backend_url)

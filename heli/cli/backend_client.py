"""The client of the backend that the settings name."""

from typing import TYPE_CHECKING

from heli.schema.settings import Loaded

if TYPE_CHECKING:
    from heli.client import Client


def open_client(loaded: Loaded, answer_s: float | None = None) -> "Client":
    """httpx is loaded here and not before, so that commands that need no backend stay quick."""
    from heli.client import Client

    url = loaded.settings.backend_url
    return Client(url) if answer_s is None else Client(url, answer_s=answer_s)

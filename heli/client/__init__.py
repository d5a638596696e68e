"""The one typed client of heli's REST API; `cli`, `tui` and `web` are its three faces."""

from heli.client.api import Client
from heli.client.live import Connected, Disconnected, LiveFeed
from heli.client.records import CostReport, CostRow, ExchangeView, MessageView, RequestPage, Spend

__all__ = [
    "Client",
    "Connected",
    "CostReport",
    "CostRow",
    "Disconnected",
    "ExchangeView",
    "LiveFeed",
    "MessageView",
    "RequestPage",
    "Spend",
]

"""From a filter, `since` and `until`, as they stand in a query string, to one tree of conditions."""

import datetime
from typing import Any

from heli.schema.filter import Node, parse

SIDE_CALLS = "NOT (operation:other,models,warm_up cost.state:free)"
"""What runs no model and costs nothing: lists of models, an agent's housekeeping, warm-ups."""


def make_node(
    filter: str,
    since: str = "",
    until: str = "",
    zone: datetime.tzinfo | None = None,
    side_calls: bool = True,
) -> Node:
    """All of them must hold; empty ones do. Days begin in `zone`. Raises `FilterError`.

    Without `side_calls` these are left out, unless the filter itself speaks of operations.
    """
    node = parse(filter, zone=zone)
    if not side_calls and not _speaks_of(node, "operation"):
        node = {"left": node, "operator": "and", "right": parse(SIDE_CALLS)}
    for name, moment in (("since", since), ("until", until)):
        if moment:
            bound = parse(f"{name}:{_quote(moment)}", zone=zone)
            node = {"left": node, "operator": "and", "right": bound}
    return node


def _speaks_of(node: Any, column: str) -> bool:
    if not isinstance(node, dict):
        return False
    return column in node or any(_speaks_of(part, column) for part in node.values())


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

"""From a filter, `since` and `until`, as they stand in a query string, to one tree of conditions."""

import datetime

from heli.schema.filter import Node, parse


def make_node(filter: str, since: str = "", until: str = "", zone: datetime.tzinfo | None = None) -> Node:
    """All of them must hold; empty ones do. Days begin in `zone`. Raises `FilterError`."""
    node = parse(filter, zone=zone)
    for name, moment in (("since", since), ("until", until)):
        if moment:
            bound = parse(f"{name}:{_quote(moment)}", zone=zone)
            node = {"left": node, "operator": "and", "right": bound}
    return node


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

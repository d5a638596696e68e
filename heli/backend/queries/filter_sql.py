"""From a tree of conditions to a WHERE clause for ClickHouse: Helicone's JSON filters, and heli's language.

As in Helicone, only the first field of a leaf's table and its first operator count. Other than there, a name
that is not known is an error and not a condition that always holds.
"""

from collections.abc import Mapping
from typing import Any

from heli.backend.queries.filter_binding import Binder, show
from heli.backend.queries.filter_columns import TABLE, as_object, first_key
from heli.backend.queries.filter_fields import FIRST_FIELDS, TABLES
from heli.schema.errors import UsageError

MAX_LEAVES = 2_000
MAX_DEPTH = 64
"""How often `and` and `or` may alternate; a chain of one of them counts once, whatever its length."""


def to_sql(node: Any) -> tuple[str, dict[str, Any]]:
    """A condition on `request_response_rmt` and the parameters `p0`, `p1`, … that it binds.

    `node` is a tree as it came from JSON. Raises `UsageError` that names what is not understood.
    """
    writer = _Writer()
    return writer.write(node, 0), writer.binder.parameters


class _Writer:
    def __init__(self) -> None:
        self.binder = Binder()
        self.leaf_count = 0

    def write(self, node: Any, depth: int) -> str:
        if node == "all" or node == {}:
            return "true"
        if not isinstance(node, Mapping):
            raise UsageError(f"{show(node)} is not a filter", 'a filter is "all", {} or an object')
        if "left" not in node:
            return self.write_leaf(node)
        if depth >= MAX_DEPTH:
            raise UsageError(f"the filter is nested more than {MAX_DEPTH} deep")
        operator = node.get("operator")
        if operator not in ("and", "or"):
            raise UsageError(f"{show(operator)} joins no conditions", 'the operator is "and" or "or"')
        joined = (self.write(operand, depth + 1) for operand in operands(node, operator))
        return f"({f' {operator.upper()} '.join(joined)})"

    def write_leaf(self, leaf: Mapping[str, Any]) -> str:
        self.leaf_count += 1
        if self.leaf_count > MAX_LEAVES:
            raise UsageError(f"a filter has at most {MAX_LEAVES} conditions")
        conditions = [self.write_table(table, fields) for table, fields in leaf.items()]
        return conditions[0] if len(conditions) == 1 else f"({' AND '.join(conditions)})"

    def write_table(self, table: str, fields: Any) -> str:
        columns = TABLES.get(table)
        if columns is None:
            raise UsageError(f"requests are not filtered by the table {show(table)}", f"use {TABLE}")
        if table == "properties":
            fields = {"properties": fields}
        name = next((name for name in FIRST_FIELDS if name in as_object(fields, table)), None)
        name = name if name in columns else first_key(fields, table)
        write_column = columns.get(name)
        if write_column is None:
            raise UsageError(f"{table} has no field {show(name)} to filter by")
        return write_column(self.binder, name, fields[name])


def operands(node: Mapping[str, Any], operator: str) -> list[Any]:
    """All that one operator joins, in order, however the branches nest."""
    found: list[Any] = []
    waiting: list[Any] = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Mapping) and "left" in current and current.get("operator") == operator:
            if "right" not in current:
                raise UsageError("a branch of the filter has a left side but no right one")
            waiting += [current["right"], current["left"]]
        else:
            found.append(current)
    return found

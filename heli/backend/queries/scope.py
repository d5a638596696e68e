"""Which rows a question is about: one organisation's, that a filter lets through."""

from typing import Any
from uuid import UUID

import msgspec

from heli.backend.queries.filter_sql import to_sql
from heli.schema.filter import Node

TABLE = "request_response_rmt"


class Scope(msgspec.Struct, frozen=True):
    """A condition in SQL with its bound parameters."""

    sql: str
    parameters: dict[str, Any]

    def and_also(self, sql: str, **parameters: Any) -> "Scope":
        """The rows that meet another condition as well."""
        return Scope(f"{self.sql} AND ({sql})", {**self.parameters, **parameters})


def only_model_calls(scope: Scope) -> Scope:
    """Without lists of models, an agent's housekeeping and warm-ups: what runs no model and costs nothing."""
    return scope.and_also("NOT (cost_state = 'free' AND operation IN ('other', 'models', 'warm_up'))")


def scope_of(organisation: UUID, node: Node = "all") -> Scope:
    """All rows of an organisation that the filter lets through. Raises `FilterError`."""
    scope = Scope("organization_id = {organisation:UUID}", {"organisation": str(organisation)})
    sql, parameters = to_sql(node)
    return scope.and_also(sql, **parameters)

"""JSON that leaves the API, and how OpenAPI tells of it.

Answers are msgspec records. Money leaves as a JSON number with all its digits: it never becomes a float.
"""

from decimal import Decimal
from typing import Any

import msgspec
from starlette.responses import Response

REF = "#/components/schemas/{name}"

_described: dict[str, Any] = {}
"""`{schema name: type}` of the records that some route answers with."""

encode = msgspec.json.Encoder(decimal_format="number").encode


class Json(Response):
    """A JSON response, from any record that msgspec knows."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode(content)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Helicone's envelope."""

    data: Any
    error: str | None = None


def tells(
    shape: Any, description: str, status: int = 200, media_type: str = "application/json"
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with a record of this type."""
    (schema,), _ = msgspec.json.schema_components([shape], ref_template=REF)
    _described[str(shape)] = shape
    return {status: {"description": description, "content": {media_type: {"schema": _numbers(schema)}}}}


def described_components() -> dict[str, Any]:
    """The schemas of all records that `tells` was told of, by name."""
    _, components = msgspec.json.schema_components(list(_described.values()), ref_template=REF)
    described: dict[str, Any] = _numbers(components)
    return described


def _numbers(schema: Any) -> Any:
    """Decimals are strings to msgspec's schema, numbers on heli's wire."""
    if isinstance(schema, list):
        return [_numbers(part) for part in schema]
    if not isinstance(schema, dict):
        return float(schema) if isinstance(schema, Decimal) else schema
    if schema.get("format") == "decimal":
        return {**{k: v for k, v in schema.items() if k != "format"}, "type": "number"}
    return {key: _numbers(value) for key, value in schema.items()}

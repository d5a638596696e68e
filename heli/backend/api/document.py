"""The OpenAPI document, made when it is first asked for."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from heli.backend.api.answers import described_components


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, with the records of `tells` among its components."""
    if not app.openapi_schema:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        document.setdefault("components", {}).setdefault("schemas", {}).update(described_components())
        app.openapi_schema = document
    return app.openapi_schema

"""How errors leave the API, whatever raised them."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from heli.backend.api.answers import Json
from heli.backend.api.error_answers import ErrorBody, ErrorDetail, error_answer
from heli.schema.errors import HeliError

logger = logging.getLogger("heli.backend")

HELICONE_PREFIXES = ("/v1/request/",)
"""Routes whose callers expect Helicone's envelope and its 422."""

CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(HeliError)
    async def on_heli_error(request: Request, error: HeliError) -> Response:
        if error.status == 500:
            logger.error("%s %s: %s", request.method, request.url.path, error.message)
        return error_answer(error, _is_helicone(request))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        if _is_helicone(request):
            return Json({"message": "Validation Failed", "details": _details(error)}, status_code=422)
        where = "; ".join(f"{_place(e['loc'])}: {e['msg']}" for e in error.errors())
        detail = ErrorDetail(code="bad_input", message=where, hint="see /docs for what this route takes")
        return Json(ErrorBody(detail), status_code=422)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        code = CODES.get(error.status_code, "failure")
        message = f"{request.method} {request.url.path}: {error.detail}"
        detail = ErrorDetail(code=code, message=message, hint="see /docs for the routes")
        return Json(ErrorBody(detail), status_code=error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> Response:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        detail = ErrorDetail(
            code="failure", message="heli failed on this call", hint="the backend's log has the details"
        )
        return Json(ErrorBody(detail), status_code=500)


def _is_helicone(request: Request) -> bool:
    return request.url.path.startswith(HELICONE_PREFIXES)


def _details(error: RequestValidationError) -> dict[str, Any]:
    """`{"requestBody.limit": {"message", "value"}}`, as Helicone names fields."""
    return {
        _place(e["loc"]).replace("body", "requestBody", 1): {
            "message": e["msg"],
            "value": _plain(e.get("input")),
        }
        for e in error.errors()
    }


def _plain(value: Any) -> Any:
    """The offending value when it is short; a whole body would only repeat what the caller sent."""
    return value if isinstance(value, str | int | float | bool | None) else None


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc)

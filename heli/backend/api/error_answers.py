"""An error as an answer: heli's own routes say `{"error": …}`, Helicone's keep their envelope."""

import msgspec
from starlette.responses import Response

from heli.backend.api.answers import Json, Result
from heli.schema.errors import HeliError


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One error: a stable code, a sentence, and the next thing to try."""

    code: str
    message: str
    hint: str = ""


class ErrorBody(msgspec.Struct, frozen=True):
    """What heli's own routes answer when something is wrong."""

    error: ErrorDetail


def error_answer(error: HeliError, is_helicone: bool = False) -> Response:
    """The response that tells of an error."""
    if is_helicone:
        return Json(Result(data=None, error=error.message), status_code=error.status)
    return Json(ErrorBody(ErrorDetail(code=error.code, message=error.message, hint=error.hint)), error.status)

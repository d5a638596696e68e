"""What went wrong with a call, as one short word that is the same for every provider."""

from heli.providers.json_values import Json, as_dict, as_list, as_text, field
from heli.schema.exchange import Exchange, Outcome

_BY_CODE = {
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_error": "quota",
    "credit_balance_too_low": "quota",
    "rate_limit_exceeded": "rate_limit",
    "rate_limit_error": "rate_limit",
    "too_many_requests": "rate_limit",
    "overloaded_error": "overloaded",
    "slow_down": "overloaded",
    "server_overloaded": "overloaded",
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "permission_error": "auth",
    "permission_denied": "auth",
    "unauthenticated": "auth",
    "not_found_error": "not_found",
    "model_not_found": "not_found",
    "request_too_large": "too_large",
    "context_length_exceeded": "context_length",
    "string_above_max_length": "context_length",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "throttling_exception": "rate_limit",
    "service_quota_exceeded_exception": "quota",
    "access_denied_exception": "auth",
    "resource_not_found_exception": "not_found",
    "model_not_ready_exception": "overloaded",
    "service_unavailable_exception": "overloaded",
    "model_timeout_exception": "timeout",
    "validation_exception": "invalid_request",
    "internal_server_exception": "server_error",
    "model_error_exception": "server_error",
    "model_stream_error_exception": "server_error",
    "responsibleaipolicyviolation": "content_filter",
    "timeout_error": "timeout",
    "deadline_exceeded": "timeout",
    "api_error": "server_error",
    "server_error": "server_error",
    "internal_error": "server_error",
    "internal_server_error": "server_error",
    "invalid_argument": "invalid_request",
    "invalid_request_error": "invalid_request",
}
"""`{a provider's code or type, in lower case: heli's word}`."""

_BY_STATUS = {
    400: "invalid_request",
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    422: "invalid_request",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
_BY_OUTCOME = {
    Outcome.CLIENT_ABORTED: "client_aborted",
    Outcome.UPSTREAM_ERROR: "upstream_error",
    Outcome.TIMEOUT: "timeout",
    Outcome.REFUSED: "refused",
    Outcome.INTERRUPTED: "interrupted",
}

_SURE_STATUSES = frozenset({401, 403, 404, 413, 429, 529})
"""Statuses that say more than a vague `invalid_request_error` beside them."""

_VAGUE = frozenset({"", "invalid_request", "server_error"})
_MAX_MESSAGE = 2000


def read_failure(exchange: Exchange, reply: Json) -> tuple[str, str]:
    """`(error class, message)`; both empty for a call that went well."""
    word, message = _of_body(exchange.response_status, reply)
    if exchange.outcome is not Outcome.COMPLETE:
        return _BY_OUTCOME[exchange.outcome], (exchange.error or message)[:_MAX_MESSAGE]
    return word, message[:_MAX_MESSAGE]


def _of_body(status: int | None, reply: Json) -> tuple[str, str]:
    error = find_error(reply)
    is_failed = status is not None and status >= 400
    if not is_failed and error is None:
        return "", ""
    message, codes = _describe(error)
    word = next((_BY_CODE[code] for code in codes if code in _BY_CODE), "")
    if is_failed and status is not None:
        if word in _VAGUE and (status in _SURE_STATUSES or not word):
            word = _BY_STATUS.get(status, "server_error" if status >= 500 else "invalid_request")
        message = message or f"HTTP status {status}"
    return word or "server_error", message


def find_error(reply: Json) -> Json:
    """The error object of a reply in any provider's shape; `None` when it holds none."""
    if isinstance(reply, list) and reply:  # Gemini wraps the error of a stream in an array
        reply = reply[0]
    fields = as_dict(reply)
    error = fields.get("error")
    if error:
        return error
    for name in ("detail", "message"):
        # Mistral's and FastAPI's `detail`, and bare messages; never of a reply that holds an answer.
        if fields.get(name) and not fields.keys() & {"choices", "content", "output", "id", "done"}:
            return fields
    return None


def _describe(error: Json) -> tuple[str, list[str]]:
    """The message, and the codes in the order in which they are to be trusted."""
    if isinstance(error, str):
        return error, []
    fields = as_dict(error)
    message = as_text(fields.get("message")) or as_text(fields.get("detail"))
    if not message:
        details = as_list(fields.get("detail"))
        message = as_text(field(details[0], "msg")) if details else ""
    named = (fields.get("code"), fields.get("status"), fields.get("type"))
    if filtered := _filtered_for(fields):
        message = f"{message} (filtered: {filtered})"
    codes = [code.lower() for code in named if isinstance(code, str)]
    numeric = next((code for code in named if isinstance(code, int) and code in _BY_STATUS), None)
    if numeric is not None:  # OpenRouter and Gemini: an HTTP status as code, also inside of a stream
        codes.append(_STATUS_CODES[numeric])
    if any(words in message for words in _TOO_LONG):
        codes.insert(0, "context_length_exceeded")
    elif "credit balance is too low" in message:
        codes.insert(0, "credit_balance_too_low")
    return message, codes


_TOO_LONG = (
    "prompt is too long",
    "maximum context length",
    "Input is too long for requested model",
    "too many tokens",
)


def _filtered_for(error: dict[str, Json]) -> str:
    """What Azure's filter found in the question: `violence medium, jailbreak`."""
    inner = error.get("innererror") or error.get("inner_error")
    found = []
    for name, result in as_dict(field(inner, "content_filter_result")).items():
        if field(result, "filtered") is True:
            found.append(f"{name} {as_text(field(result, 'severity'))}".rstrip())
    return ", ".join(found)


_STATUS_CODES = {
    status: next((code for code, word in _BY_CODE.items() if word == by_status), "server_error")
    for status, by_status in _BY_STATUS.items()
}

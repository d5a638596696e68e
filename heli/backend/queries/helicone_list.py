"""Helicone's list of requests: sorted by anything, by offset, with the columns that Helicone shows."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from heli.backend.queries.request_list import Key, rows_of
from heli.backend.queries.scope import TABLE, Scope
from heli.backend.stores.request_log import RequestLog
from heli.schema.errors import UsageError

MAX_LIMIT = 1000

NIL = "00000000-0000-0000-0000-000000000000"
TOTAL_TOKENS = (
    "if(prompt_tokens IS NULL AND completion_tokens IS NULL, NULL,"
    " coalesce(prompt_tokens, 0) + coalesce(completion_tokens, 0) + reasoning_tokens)"
)
SORT_KEYS = {
    "created_at": "request_created_at",
    "cache_created_at": "request_created_at",
    "last_active": "request_created_at",
    "latency": "latency",
    "total_tokens": TOTAL_TOKENS,
    "completion_tokens": "completion_tokens",
    "prompt_tokens": "prompt_tokens",
    "user_id": "user_id",
    "body_model": "model",
    "is_cached": f"cache_reference_id != toUUID('{NIL}')",
    "request_prompt": "request_text",
    "response_text": "response_text",
    "cost": "if(cost_usd IS NULL, NULL, cost)",
    "time_to_first_token": "time_to_first_token",
}
"""`{Helicone's sort key: SQL}`."""

_MAP_KEY = re.compile(r"[A-Za-z0-9_-]{1,256}")

COLUMNS = f"""request_id, response_id, request_created_at, response_created_at, updated_at, path, target_url,
provider, country_code, request_referrer, request_body, response_body, model, request_model, response_model,
status, latency, time_to_first_token, prompt_tokens, completion_tokens, reasoning_tokens,
prompt_cache_write_tokens, prompt_cache_read_tokens, prompt_audio_tokens, completion_audio_tokens, cost_usd,
user_id, properties, scores, prompt_id, prompt_version, cache_enabled, cache_reference_id, storage_location,
ai_gateway_body_mapping, assets, body_ref, bodies_omitted, {TOTAL_TOKENS} AS all_tokens"""


def list_rows(
    log: RequestLog, scope: Scope, sort: Mapping[str, Any], offset: int, limit: int
) -> list[dict[str, Any]]:
    """Rows with `COLUMNS`. Raises `UsageError` for a limit beyond 0…1000 and a sort that makes no sense."""
    if not 0 <= limit <= MAX_LIMIT:
        raise UsageError("invalid limit")
    if not limit:
        return []
    order, parameters = order_by(sort)
    present = scope.and_also("request_created_at <= now64(3) + INTERVAL 5 MINUTE")
    keys = log.select(
        f"SELECT request_created_at, request_id FROM {TABLE} WHERE {present.sql}"  # noqa: S608
        f" ORDER BY {order} LIMIT {limit:d} OFFSET {offset:d}",
        {**present.parameters, **parameters},
    )
    return rows_of(log, scope, [Key(row["request_created_at"], row["request_id"]) for row in keys], COLUMNS)


def order_by(sort: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """SQL for the first sort key that Helicone knows, newest first among equals, and what it binds."""
    newest = "request_created_at DESC, request_id DESC"
    for key, way in sort.items():
        if key == "random" and way is True:
            return "rand()", {}
        if key in SORT_KEYS:
            return f"{SORT_KEYS[key]} {_direction(way)} NULLS LAST, {newest}", {}
        if key in ("properties", "values") and isinstance(way, Mapping) and way:
            name, direction = next(iter(way.items()))
            if not isinstance(name, str) or not _MAP_KEY.fullmatch(name):
                raise UsageError(f"{name!r} is no name of a property to sort by")
            return f"properties[{{sort_key:String}}] {_direction(direction)}, {newest}", {"sort_key": name}
    return newest, {}


def _direction(way: Any) -> Literal["ASC", "DESC"]:
    match way:
        case "asc":
            return "ASC"
        case "desc":
            return "DESC"
    raise UsageError(f"{str(way)[:60]!r} is no sort direction", 'write "asc" or "desc"')

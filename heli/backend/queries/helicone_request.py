"""A row of the log in Helicone's shape: the fields, names and types of its `HeliconeRequest`."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from heli.backend.queries.exchange_view import reply_json
from heli.backend.queries.json_text import json_or_none
from heli.backend.queries.money import plain
from heli.backend.stores.bodies import BodyStore
from heli.providers import find_call
from heli.providers.encoding import decode_body
from heli.providers.sockets.turn import decode_archived
from heli.schema.errors import HeliError

MAX_INLINE_BYTES = 64 * 1024 * 1024
"""Bodies in one answer; what comes after is named, not shown."""


class HeliconeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request as Helicone's API tells it. Costs are dollars, times ISO 8601 with `Z`."""

    request_id: UUID
    response_id: UUID | None
    request_created_at: str
    response_created_at: str | None
    updated_at: str | None
    request_path: str
    target_url: str | None
    provider: str
    country_code: str | None
    request_referrer: str | None
    helicone_user: str | None = None
    request_body: Any
    response_body: Any
    """The JSON itself, or an object with the one key `helicone_message`."""
    signed_body_url: str | None = None
    asset_ids: list[str] | None = None
    asset_urls: dict[str, str] | None = None
    assets: list[str]
    storage_location: str
    llmSchema: None = None  # noqa: N815
    model: str
    request_model: str | None
    response_model: str | None
    model_override: str | None
    ai_gateway_body_mapping: str | None
    response_status: int
    delay_ms: int | None
    time_to_first_token: int | None
    total_tokens: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    prompt_cache_write_tokens: int | None
    prompt_cache_read_tokens: int | None
    prompt_audio_tokens: int | None
    completion_audio_tokens: int | None
    cost: Decimal | None
    costUSD: Decimal | None  # noqa: N815
    request_user_id: str | None
    request_properties: dict[str, str] | None
    properties: dict[str, str]
    scores: dict[str, int] | None
    prompt_id: str | None
    prompt_version: str | None
    cache_enabled: bool
    cache_reference_id: UUID | None
    feedback_created_at: str | None = None
    feedback_id: str | None = None
    feedback_rating: bool | None = None


class BodyReader:
    """Gives the bodies of one answer, from the row or the archive, until the answer is large enough."""

    def __init__(self, store: BodyStore, max_bytes: int = MAX_INLINE_BYTES) -> None:
        self._store = store
        self._room = max_bytes

    def read(self, row: Mapping[str, Any]) -> tuple[Any, Any]:
        """The JSON of request and response, or messages that say why there is none."""
        if self._room <= 0:
            return _message("left out of this long answer; ask for this request alone"), _message("left out")
        request, response = json_or_none(row["request_body"]), json_or_none(row["response_body"])
        if (request is None or response is None) and row["body_ref"]:
            request, response = self._archived(row, request, response)
        self._room -= sum(len(bytes(body)) for body in (request, response) if isinstance(body, msgspec.Raw))
        return (
            _message(_why_none(row, "request")) if request is None else request,
            _message(_why_none(row, "response")) if response is None else response,
        )

    def _archived(self, row: Mapping[str, Any], request: Any, response: Any) -> tuple[Any, Any]:
        try:
            carrier = decode_archived(self._store.get(row["body_ref"]))
        except HeliError as error:
            return request, response or _message(error.message)
        exchange = find_call(carrier, row["request_id"].bytes)
        if request is None:
            request = json_or_none(decode_body(exchange.request_headers, exchange.request_body))
        if response is None:
            decoded = decode_body(exchange.response_headers, exchange.response_body)
            response = _as_raw(reply_json(exchange, decoded))
        return request, response


NO_BODIES = (
    {"helicone_message": "ask with includeBody=true for the body"},
    {"helicone_message": "ask with includeBody=true for the body"},
)


def helicone_request(row: Mapping[str, Any], bodies: tuple[Any, Any]) -> HeliconeRequest:
    """The row, which has `helicone_list.COLUMNS`, with these bodies."""
    return HeliconeRequest(
        request_id=row["request_id"],
        response_id=row["response_id"],
        request_created_at=_iso(row["request_created_at"]) or "",
        response_created_at=_iso(row["response_created_at"]),
        updated_at=_iso(row["updated_at"]),
        request_path=row["target_url"] or row["path"],
        target_url=row["target_url"],
        provider=row["provider"],
        country_code=row["country_code"],
        request_referrer=row["request_referrer"] or None,
        request_body=bodies[0],
        response_body=bodies[1],
        assets=list(row["assets"]),
        storage_location=row["storage_location"],
        model=row["model"] or "unknown",
        request_model=row["request_model"] or None,
        response_model=row["response_model"] or None,
        model_override=_override(row),
        ai_gateway_body_mapping=row["ai_gateway_body_mapping"] or None,
        response_status=row["status"],
        delay_ms=row["latency"],
        time_to_first_token=row["time_to_first_token"],
        total_tokens=row["all_tokens"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        prompt_cache_write_tokens=row["prompt_cache_write_tokens"],
        prompt_cache_read_tokens=row["prompt_cache_read_tokens"],
        prompt_audio_tokens=row["prompt_audio_tokens"],
        completion_audio_tokens=row["completion_audio_tokens"],
        cost=plain(row["cost_usd"]),
        costUSD=plain(row["cost_usd"]),
        request_user_id=row["user_id"] or None,
        request_properties=row["properties"],
        properties=row["properties"],
        scores=row["scores"],
        prompt_id=row["prompt_id"] or None,
        prompt_version=row["prompt_version"] or None,
        cache_enabled=row["cache_enabled"],
        cache_reference_id=row["cache_reference_id"],
    )


def _override(row: Mapping[str, Any]) -> str | None:
    """The model that the caller named instead: the row keeps it as a model that neither side spoke of."""
    spoken = (row["response_model"] or row["request_model"], "")
    return None if row["model"] in spoken else row["model"]


def _iso(moment: datetime.datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _as_raw(value: Any) -> msgspec.Raw | None:
    if value is None or isinstance(value, msgspec.Raw):
        return value
    return msgspec.Raw(msgspec.json.encode(value))


def _why_none(row: Mapping[str, Any], side: str) -> str:
    if row["bodies_omitted"] == "dropped":
        return "not kept: the spool was nearly full"
    return "omitted, as the caller asked" if side in row["bodies_omitted"] else "there is no JSON body"


def _message(text: str) -> dict[str, str]:
    return {"helicone_message": text}

"""What requests are filtered by in ClickHouse: each field's expression, its operators and its values.

Fields and operators are in the tables here, and nothing that a caller wrote becomes part of the SQL: values
are bound by the server.
"""

import contextlib
import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from heli.schema.errors import UsageError
from heli.schema.usage import NANODOLLARS

MAX_VALUE_BYTES = 32_768
"""Of all values together."""

TABLE = "request_response_rmt"

_NIL = "00000000-0000-0000-0000-000000000000"
_EXACT = decimal.Context(prec=80)
_INT64 = 2**63

_COMPARISONS = {"equals": "=", "not-equals": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_PATTERNS = {"like": "LIKE", "ilike": "ILIKE", "not-like": "NOT LIKE", "not-ilike": "NOT ILIKE"}
_CONTAINS = {"contains": "> 0", "not-contains": "= 0"}


class Binder:
    """The parameters of one condition; equal values are bound only once."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self._names: dict[tuple[str, Any], str] = {}
        self._value_bytes = 0

    def bind(self, kind: str, value: Any) -> str:
        """The placeholder for a value of a ClickHouse type."""
        name = self._names.get((kind, value))
        if name is None:
            name = self._names[kind, value] = f"p{len(self.parameters)}"
            self.parameters[name] = value
            self._value_bytes += len(value.encode()) if isinstance(value, str) else 8
            if self._value_bytes > MAX_VALUE_BYTES:
                raise UsageError(f"the values of a filter have at most {MAX_VALUE_BYTES} bytes")
        return f"{{{name}:{kind}}}"

    def bind_text(self, value: Any, what: str) -> str:
        if not isinstance(value, str):
            raise UsageError(f"{what} is compared with text, not with {show(value)}")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{what} is compared with {show(value)}, which is not text") from error
        return self.bind("String", value)

    def bind_number(self, value: Any, what: str) -> str:
        return self.bind_decimal(_number(value, what))

    def bind_decimal(self, number: Decimal) -> str:
        if number == number.to_integral_value() and abs(number) < _INT64:
            return self.bind("Int64", int(number))
        return self.bind("Float64", float(number))


type Column = Callable[[Binder, str, Any], str]
"""Writes the condition on one field: the binder, the field's name, `{operator: value}`."""


def _text(expression: str, *, is_special: bool = True) -> Column:
    """Text. `is_special` says whether `null` and `__empty__` mean the absence of a value."""

    def write(binder: Binder, name: str, condition: Any) -> str:
        operator, value = _condition(name, condition)
        if is_special and (absence := _absence(expression, operator, value)):
            return absence
        return _compare_text(binder, name, expression, operator, value)

    return write


def _compare_text(binder: Binder, name: str, expression: str, operator: str, value: Any) -> str:
    if operator in ("equals", "not-equals"):
        return f"{expression} {_COMPARISONS[operator]} {binder.bind_text(value, name)}"
    if operator in _CONTAINS:
        place = f"positionCaseInsensitiveUTF8({expression}, {binder.bind_text(value, name)})"
        return f"{place} {_CONTAINS[operator]}"
    if operator in _PATTERNS:
        return f"{expression} {_PATTERNS[operator]} {binder.bind_text(_pattern(value), name)}"
    raise _unknown_operator(name, operator, "equals", "not-equals", *_PATTERNS, *_CONTAINS)


def _identifier(expression: str) -> Column:
    """A UUID: equality as such, everything else on its text."""

    def write(binder: Binder, name: str, condition: Any) -> str:
        operator, value = _condition(name, condition)
        if absence := _absence(expression, operator, value):
            return absence
        if operator not in ("equals", "not-equals"):
            return _compare_text(binder, name, f"toString({expression})", operator, value)
        try:
            bound = binder.bind("UUID", str(uuid.UUID(value)))
        except (ValueError, AttributeError, TypeError) as error:
            raise UsageError(f"{name} is compared with a UUID, not with {show(value)}") from error
        return f"{expression} {_COMPARISONS[operator]} {bound}"

    return write


def _numeric(expression: str, bind: Callable[[Binder, Any, str], str] = Binder.bind_number) -> Column:
    def write(binder: Binder, name: str, condition: Any) -> str:
        operator, value = _condition(name, condition)
        if operator in ("equals", "not-equals") and value == "null":
            return f"{expression} IS {'NOT ' if operator == 'not-equals' else ''}NULL"
        if operator not in _COMPARISONS:
            raise _unknown_operator(name, operator, *_COMPARISONS)
        return f"{expression} {_COMPARISONS[operator]} {bind(binder, value, name)}"

    return write


def _bind_nanodollars(binder: Binder, value: Any, name: str) -> str:
    """Helicone's cost: dollars in the filter, whole nanodollars in the column, rounded down."""
    nanodollars = _EXACT.multiply(_number(value, name), Decimal(NANODOLLARS))
    return binder.bind_decimal(nanodollars.to_integral_value(decimal.ROUND_FLOOR, _EXACT))


def _bind_dollars(binder: Binder, value: Any, name: str) -> str:
    dollars = _number(value, name)
    if abs(dollars) >= Decimal("1e18"):
        raise UsageError(f"{name} is compared with {show(value)}, which is too much")
    return binder.bind("Decimal(38, 18)", f"{dollars.quantize(Decimal('1e-18'), context=_EXACT):f}")


def _moment(expression: str) -> Column:
    def bind(binder: Binder, value: Any, name: str) -> str:
        try:
            moment = datetime.datetime.fromisoformat(value)
            moment = moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        except (ValueError, TypeError, OverflowError) as error:
            raise UsageError(f"{name} is compared with a time in ISO 8601, not with {show(value)}") from error
        if not 1900 < moment.year < 2262:
            raise UsageError(f"{name} is compared with {show(value)}, which is too far away")
        return binder.bind("DateTime64(6, 'UTC')", f"{moment:%Y-%m-%d %H:%M:%S.%f}")

    return _numeric(expression, bind)


def _flag(expression: str) -> Column:
    def write(binder: Binder, name: str, condition: Any) -> str:
        operator, value = _condition(name, condition)
        if operator != "equals":
            raise _unknown_operator(name, operator, "equals")
        if not isinstance(value, bool):
            raise UsageError(f"{name} is compared with true or false, not with {show(value)}")
        return f"{expression} = {binder.bind('UInt8', int(value))}"

    return write


def _write_cached(_: Binder, name: str, condition: Any) -> str:
    operator, value = _condition(name, condition)
    if operator != "equals":
        raise _unknown_operator(name, operator, "equals")
    return f"{TABLE}.cache_reference_id {'!=' if value is True else '='} toUUID('{_NIL}')"


def _members(expression: str) -> Column:
    """A list of texts: it fits when one of its members does; a negated operator wants none that does."""

    def write(binder: Binder, name: str, condition: Any) -> str:
        operator, value = _condition(name, condition)
        if absence := _absence(expression, operator, value):
            return absence
        positive = operator.removeprefix("not-")
        if positive in ("has", "equals"):
            member = f"has({expression}, {binder.bind_text(value, name)})"
        else:
            inner = _compare_text(binder, name, "member", positive, value)
            member = f"arrayExists(member -> {inner}, {expression})"
        return member if positive == operator else f"NOT {member}"

    return write


def _write_property(binder: Binder, name: str, condition: Any) -> str:
    key = first_key(condition, name)
    column = _text(f"{TABLE}.properties[{binder.bind_text(key, name)}]", is_special=False)
    return column(binder, f"{name}.{key}", condition[key])


def _write_search_properties(binder: Binder, name: str, condition: Any) -> str:
    """Some property whose name fits; the key that the filter gives is not looked at, as in Helicone."""
    key = first_key(condition, name)
    inner = _text("key", is_special=False)(binder, f"{name}.{key}", condition[key])
    return f"arrayExists(key -> {inner}, mapKeys({TABLE}.properties))"


def _write_score(binder: Binder, name: str, condition: Any) -> str:
    key = first_key(condition, name)
    bound = binder.bind_text(key, name)
    value = _numeric(f"{TABLE}.scores[{bound}]", _bind_score)(binder, f"{name}.{key}", condition[key])
    return f"(mapContains({TABLE}.scores, {bound}) AND {value})"


def _bind_score(binder: Binder, value: Any, name: str) -> str:
    return binder.bind_number(int(value) if isinstance(value, bool) else value, name)


def _map_key(expression: str) -> Column:
    def write(binder: Binder, name: str, condition: Any) -> str:
        operator, value = _condition(name, condition)
        if operator not in ("equals", "not-equals"):
            raise _unknown_operator(name, operator, "equals", "not-equals")
        condition_sql = f"mapContains({expression}, {binder.bind_text(value, name)})"
        return condition_sql if operator == "equals" else f"NOT {condition_sql}"

    return write


def _sum(*columns: str) -> str:
    """The sum of what is known; unknown when nothing is."""
    names = [f"{TABLE}.{column}" for column in columns]
    total = " + ".join(f"ifNull({name}, 0)" for name in names)
    return f"if(coalesce({', '.join(names)}) IS NULL, NULL, {total})"


_INPUT = (
    "usage_input", "usage_cache_read", "usage_cache_write_5m", "usage_cache_write_1h", "usage_input_audio",
    "usage_input_image", "usage_cache_read_audio",
)  # fmt: skip
_OUTPUT = ("usage_output", "usage_reasoning", "usage_output_audio", "usage_output_image")


def _each(make: Callable[[str], Column], names: str) -> dict[str, Column]:
    return {name: make(f"{TABLE}.{name}") for name in names.split()}


_HELICONE: dict[str, Column] = {
    **_each(
        _text,
        "country_code provider model user_id target_url request_body response_body prompt_id prompt_version"
        " request_referrer",
    ),
    **_each(_identifier, "organization_id request_id response_id cache_reference_id"),
    **_each(
        _numeric,
        "latency time_to_first_token status prompt_tokens completion_tokens reasoning_tokens"
        " prompt_cache_read_tokens prompt_cache_write_tokens prompt_audio_tokens completion_audio_tokens",
    ),
    "total_tokens": _numeric(_sum("prompt_tokens", "completion_tokens", "reasoning_tokens")),
    "cost": _numeric(f"{TABLE}.cost", _bind_nanodollars),
    **_each(_flag, "threat cache_enabled is_passthrough_billing"),
    "helicone-score-feedback": _flag(f"{TABLE}.scores['helicone-score-feedback']"),
    "cached": _write_cached,
    **_each(_moment, "request_created_at response_created_at"),
    "assets": _members(f"{TABLE}.assets"),
    "scores_column": _text(f"toString({TABLE}.scores)"),
    "properties": _write_property,
    "search_properties": _write_search_properties,
    "scores": _write_score,
    "property_key": _map_key(f"{TABLE}.properties"),
}
"""The fields of `request_response_rmt` in Helicone's filters."""

_HELI: dict[str, Column] = {
    **_each(
        _text,
        "listener outcome operation origin path method request_model response_model cost_state cost_reason"
        " price_source finish_reason error_class error_message provider_request_id service_tier session_id"
        " session_name session_path request_preview response_preview request_text response_text"
        " interpret_error bodies_omitted",
    ),
    **_each(
        _numeric,
        "http_status duration_ms ttft_ms request_bytes response_bytes chunk_count "
        + " ".join(_INPUT + _OUTPUT),
    ),
    **_each(_flag, "is_streaming"),
    **_each(_moment, "ended_at"),
    **_each(_members, "tool_calls"),
    "cost_usd": _numeric(f"{TABLE}.cost_usd", _bind_dollars),
    "usage_total_input": _numeric(_sum(*_INPUT)),
    "usage_total_output": _numeric(_sum(*_OUTPUT)),
    "usage_total": _numeric(_sum(*_INPUT, *_OUTPUT)),
    "usage_cache_write": _numeric(_sum("usage_cache_write_5m", "usage_cache_write_1h")),
    "score_key": _map_key(f"{TABLE}.scores"),
}
"""What heli adds to them."""

TABLES: dict[str, dict[str, Column]] = {
    TABLE: _HELICONE | _HELI,
    "request": {
        "id": _HELICONE["request_id"], "org_id": _HELICONE["organization_id"], "path": _HELI["path"],
        "created_at": _HELICONE["request_created_at"],
        **{name: _HELICONE[name] for name in ("user_id", "model", "country_code", "prompt_id")},
    },
    "response": {
        "status": _HELICONE["status"], "model": _HELICONE["model"], "body_model": _HELICONE["model"],
        "body_tokens": _numeric(_sum("prompt_tokens", "completion_tokens")),
    },
    "properties": {"properties": _write_property},
}  # fmt: skip
"""The tables of the older query API read the same columns."""

FIRST_FIELDS = ("properties", "search_properties", "scores", "cached", "cost")
"""These fields count before any other, whatever the order in which they are written."""


def as_object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise UsageError(f"{name} wants an object that is not empty, not {show(value)}")
    return value


def first_key(value: Any, name: str) -> str:
    return next(iter(as_object(value, name)))


def _condition(name: str, condition: Any) -> tuple[str, Any]:
    operator = first_key(condition, name)
    return operator, condition[operator]


def _absence(expression: str, operator: str, value: Any) -> str:
    """The condition that Helicone's two special values stand for, or nothing."""
    if operator not in ("equals", "not-equals"):
        return ""
    is_negated = operator == "not-equals"
    if value == "null":
        return f"{expression} IS {'NOT ' if is_negated else ''}NULL"
    if value == "__empty__":
        return f"{'notEmpty' if is_negated else 'empty'}({expression})"
    return ""


def _pattern(value: Any) -> Any:
    """A pattern that ends in an escape which escapes nothing is taken to mean the backslash itself."""
    if isinstance(value, str) and (len(value) - len(value.rstrip("\\"))) % 2:
        return value + "\\"
    return value


def _number(value: Any, name: str) -> Decimal:
    """Numbers of JSON, and numbers in text; finite ones that a double can hold at least roughly."""
    number = Decimal("NaN")
    if isinstance(value, str) and len(value) <= 64:
        with contextlib.suppress(decimal.InvalidOperation):
            number = Decimal(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e64:
        number = Decimal(repr(value))
    if not number.is_finite() or abs(number) >= Decimal("1e64"):
        raise UsageError(f"{name} is compared with a number, not with {show(value)}")
    return number


def _unknown_operator(name: str, operator: str, *known: str) -> UsageError:
    return UsageError(f"{name} is not filtered by {show(operator)}", f"use one of {', '.join(known)}")


def show(value: Any) -> str:
    """The value for a message, cut when it is long."""
    if isinstance(value, int) and abs(value) >= 10**64:
        return "a number of more than 64 digits"
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:79] + "…"

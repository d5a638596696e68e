"""Kinds of columns that requests are filtered by, and how a condition on each is written for ClickHouse.

Nothing that a caller wrote becomes part of the SQL: operators come from the tables here, values are bound.
"""

import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from heli.backend.queries.filter_binding import Binder, read_number, show
from heli.schema.errors import UsageError
from heli.schema.usage import NANODOLLARS

TABLE = "request_response_rmt"

_NIL = "00000000-0000-0000-0000-000000000000"
_EXACT = decimal.Context(prec=80)

_COMPARISONS = {"equals": "=", "not-equals": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_PATTERNS = {"like": "LIKE", "ilike": "ILIKE", "not-like": "NOT LIKE", "not-ilike": "NOT ILIKE"}
_CONTAINS = {"contains": "> 0", "not-contains": "= 0"}


type Column = Callable[[Binder, str, Any], str]
"""Writes the condition on one field: the binder, the field's name, `{operator: value}`."""


def text_column(expression: str, *, is_special: bool = True) -> Column:
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


def identifier_column(expression: str) -> Column:
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


def number_column(expression: str, bind: Callable[[Binder, Any, str], str] = Binder.bind_number) -> Column:
    def write(binder: Binder, name: str, condition: Any) -> str:
        operator, value = _condition(name, condition)
        if operator in ("equals", "not-equals") and value == "null":
            return f"{expression} IS {'NOT ' if operator == 'not-equals' else ''}NULL"
        if operator not in _COMPARISONS:
            raise _unknown_operator(name, operator, *_COMPARISONS)
        return f"{expression} {_COMPARISONS[operator]} {bind(binder, value, name)}"

    return write


def bind_nanodollars(binder: Binder, value: Any, name: str) -> str:
    """Helicone's cost: dollars in the filter, whole nanodollars in the column, rounded down."""
    nanodollars = _EXACT.multiply(read_number(value, name), Decimal(NANODOLLARS))
    return binder.bind_decimal(nanodollars.to_integral_value(decimal.ROUND_FLOOR, _EXACT))


def bind_dollars(binder: Binder, value: Any, name: str) -> str:
    dollars = read_number(value, name)
    if abs(dollars) >= Decimal("1e18"):
        raise UsageError(f"{name} is compared with {show(value)}, which is too much")
    return binder.bind("Decimal(38, 18)", f"{dollars.quantize(Decimal('1e-18'), context=_EXACT):f}")


def time_column(expression: str) -> Column:
    def bind(binder: Binder, value: Any, name: str) -> str:
        try:
            moment = datetime.datetime.fromisoformat(value)
            moment = moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        except (ValueError, TypeError, OverflowError) as error:
            raise UsageError(f"{name} is compared with a time in ISO 8601, not with {show(value)}") from error
        if not 1900 < moment.year < 2262:
            raise UsageError(f"{name} is compared with {show(value)}, which is too far away")
        return binder.bind("DateTime64(6, 'UTC')", f"{moment:%Y-%m-%d %H:%M:%S.%f}")

    return number_column(expression, bind)


def flag_column(expression: str) -> Column:
    def write(binder: Binder, name: str, condition: Any) -> str:
        operator, value = _condition(name, condition)
        if operator != "equals":
            raise _unknown_operator(name, operator, "equals")
        if not isinstance(value, bool):
            raise UsageError(f"{name} is compared with true or false, not with {show(value)}")
        return f"{expression} = {binder.bind('UInt8', int(value))}"

    return write


def write_cached(_: Binder, name: str, condition: Any) -> str:
    operator, value = _condition(name, condition)
    if operator != "equals":
        raise _unknown_operator(name, operator, "equals")
    return f"{TABLE}.cache_reference_id {'!=' if value is True else '='} toUUID('{_NIL}')"


def list_column(expression: str) -> Column:
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


def write_property(binder: Binder, name: str, condition: Any) -> str:
    key = first_key(condition, name)
    column = text_column(f"{TABLE}.properties[{binder.bind_text(key, name)}]", is_special=False)
    return column(binder, f"{name}.{key}", condition[key])


def write_search_properties(binder: Binder, name: str, condition: Any) -> str:
    """Some property whose name fits; the key that the filter gives is not looked at, as in Helicone."""
    key = first_key(condition, name)
    inner = text_column("key", is_special=False)(binder, f"{name}.{key}", condition[key])
    return f"arrayExists(key -> {inner}, mapKeys({TABLE}.properties))"


def write_score(binder: Binder, name: str, condition: Any) -> str:
    key = first_key(condition, name)
    bound = binder.bind_text(key, name)
    value = number_column(f"{TABLE}.scores[{bound}]", _bind_score)(binder, f"{name}.{key}", condition[key])
    return f"(mapContains({TABLE}.scores, {bound}) AND {value})"


def _bind_score(binder: Binder, value: Any, name: str) -> str:
    return binder.bind_number(int(value) if isinstance(value, bool) else value, name)


def map_key_column(expression: str) -> Column:
    def write(binder: Binder, name: str, condition: Any) -> str:
        operator, value = _condition(name, condition)
        if operator not in ("equals", "not-equals"):
            raise _unknown_operator(name, operator, "equals", "not-equals")
        condition_sql = f"mapContains({expression}, {binder.bind_text(value, name)})"
        return condition_sql if operator == "equals" else f"NOT {condition_sql}"

    return write


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


def _unknown_operator(name: str, operator: str, *known: str) -> UsageError:
    return UsageError(f"{name} is not filtered by {show(operator)}", f"use one of {', '.join(known)}")

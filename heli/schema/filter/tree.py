"""From a filter as it was written to Helicone's tree of conditions.

A node is `"all"`, a leaf `{"request_response_rmt": {field: {operator: value}}}` or a branch
`{"left": node, "operator": "and" | "or", "right": node}`. heli adds fields to the table (the columns that
`heli.schema.filter.fields` names, and `score_key`) and operators to the fields: `has` for lists, and what
the opposite of a term needs, `not-like`, `not-ilike`, `not-has`. The opposite of a term holds wherever the
term does not, unknown values included.
"""

import datetime
import re
from typing import Any

from heli.schema.filter import values
from heli.schema.filter.errors import FilterError
from heli.schema.filter.fields import FIELDS, SEARCHED, Field, Kind, find_field
from heli.schema.filter.query import And, Not, Or, Query, Term, Value
from heli.schema.filter.reading import read
from heli.schema.property_names import stored_name

TABLE = "request_response_rmt"

type Node = str | dict[str, Any]

_OPERATORS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_OPPOSITES = {
    "gt": "lte", "gte": "lt", "lt": "gte", "lte": "gt", "equals": "not-equals", "like": "not-like",
    "ilike": "not-ilike", "contains": "not-contains", "has": "not-has",
}  # fmt: skip
_OPPOSITES |= {opposite: operator for operator, opposite in _OPPOSITES.items()}
_MEANINGFUL = frozenset({"null", "__empty__"})
"""Values of `equals` that Helicone reads as something else than themselves."""
_NULLABLE = frozenset(column for field in FIELDS if field.is_nullable for column in field.columns)
_SHORT_UUID = re.compile("[0-9a-f]{8}", re.IGNORECASE)
_SHORT_THREAD = re.compile("thread-([0-9a-f]{6})")
_MOST_SPLITS = 4
_ID_START = re.compile("[0-9a-f]{1,32}", re.IGNORECASE)
_READERS = {
    Kind.NUMBER: values.read_number,
    Kind.STATUS: values.read_status,
    Kind.SCORE: values.read_number,
    Kind.MONEY: values.read_money,
    Kind.DURATION: values.read_duration_ms,
}


def parse(text: str, now: datetime.datetime | None = None, zone: datetime.tzinfo | None = None) -> Node:
    """Read a filter and make its tree.

    `now` is what relative times are counted from, the clock's time if not given; `zone` is where days begin,
    the machine's own if not given. Raises `FilterError`, and nothing else, for any text.
    """
    query = read(text)
    return _Compiler(text, now or datetime.datetime.now(datetime.UTC), zone).compile(query)


class _Compiler:
    def __init__(self, text: str, now: datetime.datetime, zone: datetime.tzinfo | None) -> None:
        self.text = text
        self.now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self.zone = zone

    def compile(self, query: Query, is_negated: bool = False) -> Node:
        match query:
            case And(children):
                return _join("or" if is_negated else "and", [self.compile(c, is_negated) for c in children])
            case Or(children):
                return _join("and" if is_negated else "or", [self.compile(c, is_negated) for c in children])
            case Not(child):
                return self.compile(child, not is_negated)
            case Term():
                node = _join("or", [self.compile_value(query, i) for i in range(len(query.values))])
                return _negate(node) if is_negated else node

    def compile_value(self, term: Term, index: int) -> Node:
        try:
            return self.find_condition(term, term.values[index])
        except values.BadValue as bad:
            raise FilterError(self.text, term.positions[index], bad.problem, bad.hint) from bad

    def find_condition(self, term: Term, value: Value) -> Node:
        if not term.field:
            return _any_contains(SEARCHED, value)
        found = find_field(term.field)
        assert found is not None, term.field
        field = found[0]
        operator = _OPERATORS.get(term.operator, "equals")
        if field.kind not in _READERS and operator != "equals":
            raise values.BadValue(
                f"{field.name} is not compared with {term.operator}", f"write {field.name}:{value.text[:60]}"
            )
        match field.kind:
            case Kind.TEXT:
                compared = [_compare_text(column, value, field.case) for column in field.columns]
                return _join("and" if value.parts == ("",) else "or", compared)
            case Kind.SESSION:
                return _compare_session(value)
            case Kind.SEARCH:
                return _any_contains(field.columns, value)
            case Kind.LIST:
                return _compare_list(field.columns[0], value)
            case Kind.ID:
                return _compare_id(field.columns[0], value.text)
            case Kind.FLAG:
                return _leaf(field.columns[0], "equals", values.read_flag(value.text))
            case Kind.SINCE | Kind.UNTIL:
                moment = values.read_moment(value.text, self.now, self.zone)
                return _leaf(
                    field.columns[0], "gte" if field.kind is Kind.SINCE else "lt", _timestamp(moment)
                )
            case Kind.PROPERTY:
                return _compare_property(term.key, value)
            case Kind.SCORE:
                return _compare_score(term.key, operator, value)
            case _:
                return _compare_number(field, operator, value)


def _compare_text(column: str, value: Value, case: str = "") -> Node:
    if case in ("upper", "lower") and "://" not in value.text:
        value = Value(tuple(part.upper() if case == "upper" else part.lower() for part in value.parts))
    if value.is_any:
        return _leaf(column, "not-equals", "__empty__")
    if value.parts == ("",):
        return _leaf(column, "equals", "__empty__")
    if len(value.parts) == 1 and case != "any" and value.text not in _MEANINGFUL:
        return _leaf(column, "equals", value.text)
    return _leaf(column, "ilike" if case == "any" else "like", _pattern(value))


def _compare_session(value: Value) -> Node:
    """The id or the name, or what lists make of them: short, `…` for a cut end, a place behind a slash."""
    if value.is_any or value.parts == ("",):
        return _compare_text("session_id", value)
    if value.text.endswith("…"):
        value = Value((*value.parts[:-1], value.parts[-1].removesuffix("…"), ""))
    ways = [_join("or", _named_sessions(value))]
    is_literal = any("*" in part for part in value.parts)  # a star between quotes: lists show no such thing
    slashes = [] if is_literal else [match.start() for match in re.finditer("/", value.text)]
    for slash in slashes[:_MOST_SPLITS]:
        name, place = _split(value, slash)
        if name.text:
            placed = _compare_text("session_path", place)
            ways.append(_join("and", [_join("or", _named_sessions(name)), placed]))
    return _join("or", ways)


def _named_sessions(value: Value) -> list[Node]:
    ways = [_compare_text(column, value) for column in ("session_id", "session_name")]
    if _SHORT_UUID.fullmatch(value.text):
        ways.append(_leaf("session_id", "like", f"{value.text}-%"))
    if thread := _SHORT_THREAD.fullmatch(value.text):
        ways.append(_leaf("session_id", "like", f"thread-%-{thread[1]}"))
    return ways


def _split(value: Value, at: int) -> tuple[Value, Value]:
    """What stands before that place of its text, and what from there on."""
    before, after = value.text[:at], value.text[at:]
    return Value(tuple(before.split("*"))), Value(tuple(after.split("*")))


def _any_contains(columns: tuple[str, ...], value: Value) -> Node:
    if value.parts == ("",):
        raise values.BadValue("there is nothing to search for in these quotes")
    if value.is_any:
        return _join("or", [_leaf(column, "not-equals", "__empty__") for column in columns])
    if len(value.parts) == 1:
        return _join("or", [_leaf(column, "contains", value.text) for column in columns])
    pattern = f"%{_pattern(value)}%"
    return _join("or", [_leaf(column, "ilike", pattern) for column in columns])


def _compare_list(column: str, value: Value) -> Node:
    if value.is_any or value.parts == ("",):
        return _leaf(column, "not-equals" if value.is_any else "equals", "__empty__")
    if len(value.parts) == 1:
        return _leaf(column, "has", value.text)
    return _leaf(column, "like", _pattern(value))


def _compare_id(column: str, text: str) -> Node:
    digits = text.removesuffix("*").replace("-", "").lower()
    if not _ID_START.fullmatch(digits):
        raise values.BadValue(f"{text[:60]!r} is not how an id begins", "ids are made of 0-9 and a-f")
    groups = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    start = "-".join(group for group in groups if group)
    return _leaf(column, "equals", start) if len(digits) == 32 else _leaf(column, "like", start + "%")


def _compare_property(key: str, value: Value) -> Node:
    if not key:
        if len(value.parts) > 1 or not value.text:
            raise values.BadValue("which property?", "write prop:env, or prop.env:prod")
        return _leaf("property_key", "equals", stored_name(value.text))
    key = stored_name(key)
    if value.is_any:
        return _leaf("property_key", "equals", key)
    if len(value.parts) == 1:
        return _leaf("properties", key, {"equals": value.text})
    return _leaf("properties", key, {"like": _pattern(value)})


def _compare_score(key: str, operator: str, value: Value) -> Node:
    if not key:
        if len(value.parts) > 1 or not value.text:
            raise values.BadValue("which score?", "write score:quality, or score.quality>0")
        return _leaf("score_key", "equals", value.text)
    if value.is_any and operator == "equals":
        return _leaf("score_key", "equals", key)
    text = {"true": "1", "false": "0"}.get(value.text.lower(), value.text)
    return _leaf("scores", key, {operator: values.read_number(text)})


def _compare_number(field: Field, operator: str, value: Value) -> Node:
    column = field.columns[0]
    if field.is_nullable and operator == "equals":
        if value.is_any:
            return _leaf(column, "not-equals", "null")
        if value.text.lower() in ("unknown", ""):
            return _leaf(column, "equals", "null")
    if field.kind is Kind.STATUS and operator == "equals" and values.STATUS_CLASS.fullmatch(value.text):
        first = int(value.text[0]) * 100
        return _join("and", [_leaf(column, "gte", first), _leaf(column, "lt", first + 100)])
    return _leaf(column, operator, _READERS[field.kind](value.text))


def _leaf(column: str, operator: str, value: Any) -> Node:
    return {TABLE: {column: {operator: value}}}


def _join(operator: str, nodes: list[Node]) -> Node:
    """One tree of many nodes, as flat as a binary tree can be."""
    if not nodes:
        return "all"
    if len(nodes) == 1:
        return nodes[0]
    middle = (len(nodes) + 1) // 2
    return {
        "left": _join(operator, nodes[:middle]),
        "operator": operator,
        "right": _join(operator, nodes[middle:]),
    }


def _negate(node: Node) -> Node:
    """The tree of a term turned round: what was unknown to the term holds now."""
    assert isinstance(node, dict), node
    if "left" in node:
        operator = "and" if node["operator"] == "or" else "or"
        return {"left": _negate(node["left"]), "operator": operator, "right": _negate(node["right"])}
    ((column, condition),) = node[TABLE].items()
    ((operator, value),) = condition.items()
    if column == "scores":
        ((score_operator, number),) = value.items()
        other = _leaf("scores", operator, {_OPPOSITES[score_operator]: number})
        return _join("or", [other, _leaf("score_key", "not-equals", operator)])
    if column == "properties":
        ((text_operator, text),) = value.items()
        return _leaf("properties", operator, {_OPPOSITES[text_operator]: text})
    if isinstance(value, bool):
        return _leaf(column, operator, not value)
    opposite = _leaf(column, _OPPOSITES[operator], value)
    if column in _NULLABLE and value != "null":
        return _join("or", [opposite, _leaf(column, "equals", "null")])
    return opposite


def _pattern(value: Value) -> str:
    """For `like`: stars are `%`, everything else stands for itself."""
    return "%".join(re.sub(r"([\\%_])", r"\\\1", part) for part in value.parts)


def _timestamp(moment: datetime.datetime) -> str:
    precision = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"

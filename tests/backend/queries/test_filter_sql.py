"""Conditions on the real engine, against a small evaluator of the same trees over the same rows."""

import json
import math
import random
import re
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from chdb.session import Session
from clickhouse_connect.driver.binding import format_bind_value
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from heli.backend.migrations.clickhouse import migrate
from heli.backend.queries.filter_binding import MAX_VALUE_BYTES
from heli.backend.queries.filter_fields import TABLES
from heli.backend.queries.filter_sql import MAX_DEPTH, MAX_LEAVES, to_sql
from heli.schema.errors import UsageError
from heli.schema.filter import FIELDS, FilterError, parse

TABLE = "request_response_rmt"
NIL = "00000000-0000-0000-0000-000000000000"
ORGANISATION = "00000000-0000-0000-0000-000000000001"
ALPHABET = "aAbÉé%_\\'\"*ß1 \n"
TEXTS = (
    "",
    "a",
    "A",
    "ab",
    "aB%",
    "a_b",
    "É",
    "é\\",
    "null",
    "__empty__",
    "'; DROP TABLE x",
    "a\nb",
    "{p0:String}",
)
USAGE = (
    "usage_input", "usage_cache_read", "usage_cache_write_5m", "usage_cache_write_1h", "usage_input_audio",
    "usage_input_image", "usage_cache_read_audio", "usage_output", "usage_reasoning", "usage_output_audio",
    "usage_output_image",
)  # fmt: skip


def a_row(number: int, **columns: Any) -> dict[str, Any]:
    return {
        "request_id": str(uuid.UUID(int=number)),
        "organization_id": ORGANISATION,
        "request_created_at": "2026-11-01 00:00:00.000",
        "updated_at": "2026-11-01 00:00:00.000",
        **columns,
    }


def random_rows(count: int) -> list[dict[str, Any]]:
    dice = random.Random(7)
    pick = dice.choice

    def count_or_unknown() -> int | None:
        return pick([None] * 12 + [0, 1, 400, 499, 500, 100_000])

    return [
        a_row(
            number,
            request_created_at=f"2026-11-{pick([1, 2]):02d} 0{pick([0, 1])}:00:00.{pick(['000', '500'])}",
            response_created_at=pick([None, "2026-11-02 00:00:00.000"]),
            model=pick(TEXTS), request_model=pick(TEXTS), user_id=pick(TEXTS),
            target_url=pick([None, *TEXTS]), country_code=None,
            error_class=pick(TEXTS), request_text=pick(TEXTS), response_preview=pick(TEXTS),
            status=pick([-3, 200, 400, 499, 500]), http_status=pick([None, 200, 400, 499, 500]),
            prompt_tokens=count_or_unknown(), completion_tokens=count_or_unknown(),
            reasoning_tokens=pick([0, 1]),
            duration_ms=pick([None, 0.5, 2000.0, 2000.5]), cost=pick([0, 10_000_000, 10_000_001]),
            cost_usd=pick([None, "0", "0.01", "0.010000000000000001", "123.456"]),
            is_streaming=pick([True, False]), threat=pick([None, True, False]),
            cache_reference_id=pick([NIL, str(uuid.UUID(int=9))]),
            properties=pick([{}, {"env": "prod"}, {"env": "null"}, {"env": "", "A'b": "a%"}]),
            scores=pick([{}, {"q": 0}, {"q": -1}, {"q": 5, "helicone-score-feedback": 1}]),
            tool_calls=pick([[], ["ls"], ["a_b", "ab"], [""]]),
            **{column: count_or_unknown() for column in USAGE},
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


class Engine:
    """The request log's real table in the embedded engine, and which rows of it a condition finds."""

    def __init__(self, session: Session, rows: list[dict[str, Any]]) -> None:
        self.session = session
        self.rows = rows
        migrate(lambda sql: [], session.query)
        lines = "\n".join(json.dumps(row) for row in rows)
        session.query(f"INSERT INTO {TABLE} FORMAT JSONEachRow {lines}")

    def find(self, node: Any) -> set[int]:
        sql, parameters = to_sql(node)
        bound = {name: format_bind_value(value) for name, value in parameters.items()}
        answer = self.session.query(
            f"SELECT toString(request_id) AS request_id FROM {TABLE} WHERE {sql}",
            "TabSeparated",
            params=bound,
        )
        return {uuid.UUID(line).int for line in answer.bytes().decode().split()}

    def expect(self, node: Any) -> set[int]:
        return {uuid.UUID(row["request_id"]).int for row in self.rows if holds(node, row)}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Session(str(tmp_path_factory.mktemp("engine"))) as session:
        yield Engine(session, random_rows(120))


# The evaluator: what a tree means, row by row.


def holds(node: Any, row: dict[str, Any]) -> bool:
    if node in ("all", {}):
        return True
    if "left" in node:
        join = all if node["operator"] == "and" else any
        return join(holds(side, row) for side in (node["left"], node["right"]))
    return all(holds_leaf(fields, row) for fields in node.values())


def holds_leaf(fields: dict[str, Any], row: dict[str, Any]) -> bool:
    name, condition = next(iter(fields.items()))
    operator, value = next(iter(condition.items()))
    match name:
        case "properties":
            operator, value, key = *next(iter(value.items())), operator
            return compare_text(row["properties"].get(key, ""), operator, value)
        case "search_properties":
            operator, value = next(iter(value.items()))
            return any(compare_text(key, operator, value) for key in row["properties"])
        case "property_key" | "score_key":
            is_there = value in row["properties" if name == "property_key" else "scores"]
            return is_there == (operator == "equals")
        case "scores":
            operator, value, key = *next(iter(value.items())), operator
            return key in row["scores"] and compare(row["scores"][key], operator, value)
        case "cached":
            return (row["cache_reference_id"] != NIL) == value
        case "cost":
            return compare(row["cost"], operator, math.floor(Decimal(str(value)) * 10**9))
        case "cost_usd" if value != "null":
            known = row["cost_usd"]
            return known is not None and compare(Decimal(known), operator, Decimal(str(value)))
        case "tool_calls":
            return compare_members(row[name], operator, value)
        case "request_id":
            return compare_text(row[name], operator, value)
        case "request_created_at":
            return compare(row[name], operator, value.replace("T", " ").rstrip("Z"))
        case "is_streaming" | "threat":
            return row[name] == value
    known = number_of(name, row) if name in NUMBERS else row[name]
    if value == "null" and operator in ("equals", "not-equals"):
        return (known is None) == (operator == "equals")
    if value == "__empty__" and operator in ("equals", "not-equals"):
        return known is not None and (known == "") == (operator == "equals")
    if known is None:
        return False
    return compare(known, operator, value) if name in NUMBERS else compare_text(known, operator, value)


NUMBERS: dict[str, Callable[[dict[str, Any]], list[int | None]]] = {
    "usage_total_input": lambda row: [row[column] for column in USAGE[:7]],
    "usage_total_output": lambda row: [row[column] for column in USAGE[7:]],
    "usage_total": lambda row: [row[column] for column in USAGE],
    "total_tokens": lambda row: [row[c] for c in ("prompt_tokens", "completion_tokens", "reasoning_tokens")],
} | {
    name: lambda row, name=name: [row[name]]  # type: ignore[misc]
    for name in ("status", "http_status", "duration_ms", "cost_usd", "prompt_tokens", "usage_reasoning")
}


def number_of(name: str, row: dict[str, Any]) -> Any:
    known = [part for part in NUMBERS[name](row) if part is not None]
    return sum(known) if known and not isinstance(known[0], str) else known[0] if known else None


def compare(known: Any, operator: str, value: Any) -> bool:
    match operator:
        case "equals":
            return bool(known == value)
        case "not-equals":
            return bool(known != value)
        case "gt":
            return bool(known > value)
        case "gte":
            return bool(known >= value)
        case "lt":
            return bool(known < value)
        case "lte":
            return bool(known <= value)
    raise AssertionError(operator)


def compare_text(known: str, operator: str, value: str) -> bool:
    if operator.startswith("not-"):
        return not compare_text(known, operator.removeprefix("not-"), value)
    match operator:
        case "equals":
            return known == value
        case "contains":
            return value.lower() in known.lower()
        case "like":
            return bool(pattern(value).fullmatch(known))
        case "ilike":
            return bool(pattern(value.lower()).fullmatch(known.lower()))
    raise AssertionError(operator)


def pattern(like: str) -> re.Pattern[str]:
    if (len(like) - len(like.rstrip("\\"))) % 2:
        like += "\\"
    tokens = re.findall(r"\\[\\%_]|.", like, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile(
        "".join(wild.get(t) or re.escape(t[1:] if len(t) > 1 else t) for t in tokens), re.DOTALL
    )


def compare_members(members: list[str], operator: str, value: str) -> bool:
    if value == "__empty__" and operator in ("equals", "not-equals"):
        return (members == []) == (operator == "equals")
    if operator.startswith("not-"):
        return not compare_members(members, operator.removeprefix("not-"), value)
    return any(compare_text(member, "equals" if operator == "has" else operator, value) for member in members)


# Trees.

VALUES = st.one_of(st.sampled_from(TEXTS), st.text(ALPHABET, max_size=5))
TEXT_OPERATORS = st.sampled_from(
    ["equals", "not-equals", "like", "ilike", "contains", "not-contains", "not-like", "not-ilike"]
)
NUMBER_OPERATORS = st.sampled_from(["equals", "not-equals", "gt", "gte", "lt", "lte"])
COUNTS = st.one_of(
    st.sampled_from([0, 1, 400, 499.5, 500, 100_000, -3, 2**62, 2.0**70, -(2**80)]), st.just("null")
)
MONEY = st.sampled_from([0, 0.01, 0.010000000000000002, 123.456, 1e-9, 10**17, -0.5])


def _leaf(field: Any, operator: Any, value: Any) -> st.SearchStrategy[Any]:
    return st.tuples(field, operator, value).map(
        lambda t: (
            {TABLE: {t[0]: {t[1]: t[2]}}}
            if t[2] != "null" or t[1] in ("equals", "not-equals")
            else {TABLE: {t[0]: {"equals": t[2]}}}
        )
    )


LEAVES = st.one_of(
    _leaf(st.sampled_from(["model", "user_id", "target_url", "error_class"]), TEXT_OPERATORS, VALUES),
    _leaf(st.sampled_from([*NUMBERS.keys() - {"cost_usd"}]), NUMBER_OPERATORS, COUNTS),
    _leaf(st.sampled_from(["cost", "cost_usd"]), NUMBER_OPERATORS, MONEY),
    _leaf(st.just("cost_usd"), st.sampled_from(["equals", "not-equals"]), st.just("null")),
    _leaf(st.sampled_from(["cached", "is_streaming", "threat"]), st.just("equals"), st.booleans()),
    _leaf(st.just("request_created_at"), NUMBER_OPERATORS,
          st.sampled_from([f"2026-11-{moment}Z" for moment in ("01T00:00:00.000", "02T01:00:00.500")])),
    _leaf(st.just("properties"), st.sampled_from(["env", "A'b", "no\\t"]),
          st.tuples(TEXT_OPERATORS, VALUES).map(lambda t: {t[0]: t[1]})),
    _leaf(st.just("search_properties"), st.just("any"),
          st.tuples(TEXT_OPERATORS, st.sampled_from(["env", "e", "E%"])).map(lambda t: {t[0]: t[1]})),
    _leaf(st.just("scores"), st.sampled_from(["q", "helicone-score-feedback", "none"]),
          st.tuples(NUMBER_OPERATORS, st.sampled_from([0, -1, 5, 0.5])).map(lambda t: {t[0]: t[1]})),
    _leaf(st.sampled_from(["property_key", "score_key"]), st.sampled_from(["equals", "not-equals"]),
          st.sampled_from(["env", "A'b", "q", "x"])),
    _leaf(st.just("tool_calls"), st.sampled_from(
        ["has", "not-has", "like", "not-like", "ilike", "contains", "not-contains", "equals", "not-equals"]),
        st.sampled_from(["ls", "a%", "a_b", "", "__empty__"])),
    _leaf(st.just("request_id"), st.sampled_from(["like", "contains", "not-like"]),
          st.sampled_from(["00%", "%1", "0002", "\\"])),
    st.sampled_from(["all", {}]),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda left, operator, right: {"left": left, "operator": operator, "right": right},
        inner, st.sampled_from(["and", "or"]), inner,
    ),
    max_leaves=6,
)  # fmt: skip


@given(node=TREES)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(node={TABLE: {"model": {"like": "é\\"}}})
@example(node={TABLE: {"total_tokens": {"equals": 0}}})
def test_the_engine_finds_the_rows_that_the_tree_means(engine: Engine, node: Any) -> None:
    assert engine.find(node) == engine.expect(node)


TERMS = (
    "model:a", "model:a*", "user:null", 'user:""', "user:*", "error:A,ab", "status:4xx", "status>=400",
    "status:unknown", "cost>0.01", "cost:0.01", "cost:unknown", "took>2s", "tokens>1k", "in<500",
    "out:unknown", "stream:true", "cached:true", "prop.env:prod", "prop.env:*", "prop:env", "score.q>=0",
    "score:q", "tool:ls", "tool:a*", "tool:*", "id:00000000-0000-0000-0000-00000000000", "until:2026-11-02",
    "since:2026-11-01T01:00Z", "b", '"a_"', "request:*", "cache.write>0", "reasoning<2",
)  # fmt: skip
WRITTEN = st.recursive(
    st.sampled_from(TERMS),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(" ".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})"),
        inner.map(lambda text: f"-({text})"),
    ),
    max_leaves=5,
)


@given(text=WRITTEN)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_filter_and_its_opposite_share_no_row_and_leave_none_out(engine: Engine, text: str) -> None:
    found, others = engine.find(parse(text)), engine.find(parse(f"-({text})"))
    assert found.isdisjoint(others)
    assert len(found | others) == len(engine.rows)


@pytest.mark.parametrize("text", TERMS)
def test_terms_find_what_the_evaluator_finds_and_are_no_tautologies(engine: Engine, text: str) -> None:
    node = parse(text)
    assert 0 < len(engine.find(node)) < len(engine.rows)
    if not re.match('cache.write|request|b|"|id', text):
        assert engine.find(node) == engine.expect(node)


def test_every_field_of_the_language_is_understood_by_the_engine(engine: Engine) -> None:
    for field in FIELDS:
        for text in (field.example, f"-({field.example})"):
            engine.find(parse(text))


@pytest.mark.parametrize(
    ("table", "field"), [(table, field) for table, columns in TABLES.items() for field in columns]
)
def test_every_field_of_every_table_is_a_column(engine: Engine, table: str, field: str) -> None:
    """Whatever operator the field takes, the engine must know the column."""
    tried = 0
    for condition in (
        {"equals": "x"}, {"equals": 1}, {"equals": True}, {"equals": ORGANISATION}, {"gte": "2026-11-01"},
        {"key": {"equals": "x"}}, {"key": {"equals": 1}}, {"equals": "null"},
    ):  # fmt: skip
        try:
            to_sql({table: {field: condition}})
        except UsageError:
            continue
        tried += 1
        engine.find({table: {field: condition}})
    assert tried


HOSTILE = (
    "'", "''", "\\", "\\'", "' OR 1=1 --", "'; DROP TABLE request_response_rmt; --", "{p0:String}",
    "{x:Identifier}", "`", '"', "*/", "/*", "--", "#", "%", "_", "\x00", "\t", "\r\n", "$$", "$heredoc$",
    "0x27", "\u2019", "＇", ") OR (1", "1) UNION ALL SELECT 1 --", "@@version", "\\x27", "\\u0027", "'||'",
    "toString(1)", "ключ", "🙂",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_a_value_wherever_it_stands(engine: Engine, text: str) -> None:
    for field in ("model", "target_url", "request_text", "tool_calls", "properties_table"):
        for operator in ("equals", "not-equals", "contains", "like", "ilike"):
            node = {"properties": {text: {"equals": text}}} if field == "properties_table" else {
                TABLE: {field: {operator: text}}
            }  # fmt: skip
            sql, parameters = to_sql(node)
            assert re.fullmatch(r"[A-Za-z0-9_.,()\[\]{}:>=<! -]+", sql)
            assert text.rstrip("\\") in str(parameters["p0"]) or "\\" in text
            engine.find(node)
    assert engine.find({TABLE: {"properties": {text: {"equals": ""}}}}) == engine.expect("all")
    assert engine.find({TABLE: {"scores": {text: {"gte": -9}}}}) == set()
    assert engine.find({TABLE: {"property_key": {"equals": text}}}) == set()
    assert len(engine.find("all")) == len(engine.rows)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_refused(text: str) -> None:
    for node in (
        {text: {"model": {"equals": "x"}}},
        {TABLE: {text: {"equals": "x"}}},
        {TABLE: {"model": {text: "x"}}},
        {TABLE: {"status": {text: 1}}},
        {TABLE: {"status": {"equals": text}}},
        {TABLE: {"cost": {"gt": text}}},
        {TABLE: {"request_created_at": {"gt": text}}},
        {TABLE: {"request_id": {"equals": text}}},
        {TABLE: {"scores": {"q": {"equals": text}}}},
        {TABLE: {"is_streaming": {"equals": text}}},
        {"left": "all", "operator": text, "right": "all"},
    ):
        with pytest.raises(UsageError):
            to_sql(node)


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (None, "None is not a filter"),
        ([], r"\[\] is not a filter"),
        ("everything", "'everything' is not a filter"),
        ({"nowhere": {"x": {"equals": 1}}}, "table 'nowhere'"),
        ({TABLE: {}}, "request_response_rmt wants an object"),
        ({TABLE: {"modle": {"equals": "x"}}}, "no field 'modle'"),
        ({TABLE: {"model": {}}}, "model wants an object"),
        ({TABLE: {"model": "x"}}, "model wants an object"),
        ({TABLE: {"model": {"gt": "x"}}}, "model is not filtered by 'gt'"),
        ({TABLE: {"model": {"equals": 3}}}, "model is compared with text, not with 3"),
        ({TABLE: {"model": {"contains": None}}}, "not with None"),
        ({TABLE: {"status": {"equals": True}}}, "compared with a number, not with True"),
        ({TABLE: {"status": {"equals": float("nan")}}}, "compared with a number"),
        ({TABLE: {"status": {"equals": 10**5000}}}, "compared with a number"),
        ({TABLE: {"status": {"equals": "1" * 65}}}, "compared with a number"),
        ([10**5000], "too long to show"),
        ({TABLE: {"cost_usd": {"gt": 1e30}}}, "too much"),
        ({TABLE: {"cached": {"not-equals": True}}}, "cached is not filtered by 'not-equals'"),
        ({TABLE: {"is_streaming": {"equals": 1}}}, "true or false"),
        ({TABLE: {"request_created_at": {"gt": "soon"}}}, "ISO 8601"),
        ({TABLE: {"request_created_at": {"gt": 5}}}, "ISO 8601"),
        ({TABLE: {"request_created_at": {"gt": "0001-01-01T00:00:00+14:00"}}}, "ISO 8601"),
        ({TABLE: {"request_created_at": {"gt": "1066-01-01"}}}, "too far"),
        ({TABLE: {"request_id": {"equals": "abc"}}}, "a UUID, not with 'abc'"),
        ({TABLE: {"properties": {}}}, "properties wants an object"),
        ({TABLE: {"model": {"equals": "\ud800"}}}, "not text"),
        ({TABLE: {"model": {"equals": "x" * (MAX_VALUE_BYTES + 1)}}}, "at most 32768 bytes"),
        ({"left": "all", "operator": "xor", "right": "all"}, "'xor' joins no conditions"),
        ({"left": "all", "operator": ["and"], "right": "all"}, "joins no conditions"),
        ({"left": "all", "operator": "and"}, "no right one"),
        ({"left": "all", "operator": "and", "right": 7}, "7 is not a filter"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_named(node: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        to_sql(node)


def test_only_the_first_field_and_the_first_operator_count(engine: Engine) -> None:
    leaf = {TABLE: {"model": {"equals": "a", "like": "%"}, "status": {"equals": -1}}}
    assert engine.find(leaf) == engine.find({TABLE: {"model": {"equals": "a"}}}) != set()


def test_maps_cache_and_cost_count_before_other_fields(engine: Engine) -> None:
    leaf = {TABLE: {"model": {"equals": "nothing"}, "cached": {"equals": True}}}
    assert engine.find(leaf) == engine.find({TABLE: {"cached": {"equals": True}}}) != set()


def test_several_tables_in_a_leaf_must_all_hold(engine: Engine) -> None:
    leaf = {TABLE: {"model": {"equals": "a"}}, "response": {"status": {"equals": 200}}}
    assert engine.find(leaf) == engine.find({TABLE: {"model": {"equals": "a"}}}) & engine.find(
        {TABLE: {"status": {"equals": 200}}}
    )


def test_equal_values_are_bound_once() -> None:
    _, parameters = to_sql(parse("words"))
    assert parameters == {"p0": "words"}


def test_long_chains_are_fine_and_deep_ones_are_refused(engine: Engine) -> None:
    chain: Any = "all"
    for number in range(MAX_LEAVES):
        chain = {"left": chain, "operator": "and", "right": {TABLE: {"status": {"gte": -number - 10}}}}
    assert len(engine.find(chain)) == len(engine.rows)
    with pytest.raises(UsageError, match="at most 2000 conditions"):
        to_sql({"left": chain, "operator": "or", "right": {TABLE: {"status": {"gte": 0}}}})
    deep: Any = {TABLE: {"status": {"gte": 0}}}
    for number in range(MAX_DEPTH):
        deep = {"left": deep, "operator": ("and", "or")[number % 2], "right": deep if number < 2 else "all"}
    engine.find(deep)
    with pytest.raises(UsageError, match="more than 64 deep"):
        to_sql({"left": deep, "operator": ("and", "or")[MAX_DEPTH % 2], "right": "all"})


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.one_of(
                    st.text(max_size=3),
                    st.sampled_from([TABLE, "left", "right", "operator", "model", "equals", "properties"]),
                ),
                inner,
                max_size=3,
            ),
        ),
    )
)  # fmt: skip
def test_no_json_breaks_the_writer(node: Any) -> None:
    try:
        sql, _ = to_sql(node)
    except UsageError:
        return
    assert sql


@given(st.text(max_size=40))
def test_whatever_the_language_accepts_can_be_asked(text: str) -> None:
    try:
        node = parse(text)
    except FilterError:
        return
    assert to_sql(node)[0]

"""The filter language: what it accepts, its canonical spelling, and how it tells what is wrong."""

import contextlib
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heli.schema.errors import ExitCode
from heli.schema.filter import FIELDS, And, FilterError, Not, Or, Term, Value, find_field, parse, read, write

FRAGMENTS = (
    "model:", "status", "cost", "prop.env:", 'prop."a b":', "score.q", "since:", "tokens", "id:", "in", "(",
    ")", "*", '"', "\\", "-", " ", "or ", " OR ", "not ", "and ", ",", ">=", "<", "!=", "=", ":", "2h",
    "0.01", "4xx", "x", "é", "漢", "null", "__empty__", "\n", "\x00", "unknown", "tool:", "stream:", "true",
    "request:", "error.message:", "a*b",
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))


def term(field: str, *values: str, operator: str = ":", key: str = "") -> Term:
    return Term(field, key, operator, tuple(Value(tuple(value.split("*"))) for value in values))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", And(())),
        ("   ", And(())),
        ("model:gpt-4o*", term("model", "gpt-4o*")),
        ("MODEL:gpt-4o", term("model", "gpt-4o")),
        ("model:a,b", term("model", "a", "b")),
        ("model:(a, b)", term("model", "a", "b")),
        ("status>=400", term("status", "400", operator=">=")),
        ("status:>=400", term("status", "400", operator=">=")),
        ("status=400", term("status", "400")),
        ("status!=400", Not(term("status", "400"))),
        ("a b", And((term("", "a"), term("", "b")))),
        ("a and b", And((term("", "a"), term("", "b")))),
        ("a or b c", Or((term("", "a"), And((term("", "b"), term("", "c")))))),
        ("(a OR b) c", And((Or((term("", "a"), term("", "b"))), term("", "c")))),
        ("-user:x", Not(term("user", "x"))),
        ("not not user:x", term("user", "x")),
        ("NOT (a b)", Not(And((term("", "a"), term("", "b"))))),
        ('"exact words"', term("", "exact words")),
        (r'"say \"hi\" \\ \d"', Term("", "", ":", (Value((r'say "hi" \ \d',)),))),
        ("latency>2s", term("took", "2s", operator=">")),
        ("prop.env:prod", term("prop", "prod", key="env")),
        ('prop."my key":prod', term("prop", "prod", key="my key")),
        ("error.message:boom", term("error.message", "boom")),
        ('user:"a*b"*', Term("user", "", ":", (Value(("a*b", "")),))),
        ("12:30", term("", "12:30")),
        ("order", term("", "order")),
        ("prompt:greet:3", term("prompt", "greet:3")),
    ],
)
def test_a_filter_is_read_as_it_was_meant(text: str, query: object) -> None:
    assert read(text) == query


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("MODEL:( a ,b )  AND not Status>=500", "model:a,b -status>=500"),
        ("((a)) or ((b or c))", "a OR b OR c"),
        ("(a (b c))", "a b c"),
        ("latency>2s property.env:prod", "took>2s prop.env:prod"),
        ('"plain" "two words" "or" "a:b" "-x"', 'plain "two words" "or" "a:b" "-x"'),
        ('user:"plain" user:"" user:"a,b"', 'user:plain user:"" user:"a,b"'),
        ("-(a OR -b)", "-(a OR -b)"),
        ("since:2h", "since:2h"),
    ],
)
def test_the_canonical_spelling(text: str, canonical: str) -> None:
    assert write(read(text)) == canonical


@pytest.mark.parametrize(
    ("text", "position", "problem", "hint"),
    [
        ("modle:x", 0, "no field 'modle'", "did you mean model?"),
        ("a http://b", 2, "no field 'http'", "put it in quotes"),
        ('user:"x', 5, "never closed", 'add a "'),
        ("a (b", 2, "never closed", "add a )"),
        ("a )", 2, "nothing is open", ""),
        ("a or", 2, "either side", '"or"'),
        ("or a", 0, "either side", '"or"'),
        ("a (or b)", 3, "either side", ""),
        ("a and or b", 2, "either side", ""),
        ("not", 0, "NOT wants", '"not"'),
        ("status >= 400", 7, "right before this", "status>=400"),
        ("a :b", 2, "right before this", ""),
        ("()", 0, "nothing between", ""),
        ("user:", 5, "wants a value", 'user:""'),
        ("user: x", 5, "wants a value", ""),
        ("user:a,,b", 7, "wants a value", ""),
        ("user:(a b)", 8, "comma", ""),
        ("took>2", 5, "what?", "2s or 2ms"),
        ("took>fast", 5, "not a duration", "2s"),
        ("cost>cheap", 5, "not an amount", ""),
        ("tokens>1k,2k", 10, "one value", ""),
        ("tokens:1k,many", 10, "not a number", ""),
        ("status:abc", 7, "not a status", "429 or 4xx"),
        ("status>=4xx", 8, "with : only", "status:4xx, or a number: 400"),
        ("stream:maybe", 7, "neither true nor false", ""),
        ("since:soon", 6, "not a time", "2026-11-01"),
        ("since:2026-13-01", 6, "no such moment", ""),
        ("since:99999999w", 6, "no such moment", ""),
        ("user>3", 5, "not compared with >", "user:3"),
        ("prop:*", 5, "which property?", ""),
        ("score>3", 0, "which score?", "score.quality"),
        ("id:xyz", 3, "not how an id begins", ""),
        ('""', 0, "nothing to search", ""),
        ("\ud800", 0, "not a character", ""),
        ("prop.:x", 0, "no field", ""),
    ],
)
def test_what_is_wrong_is_shown_at_its_character(text: str, position: int, problem: str, hint: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert caught.value.position == position
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE


def test_the_caret_stands_under_the_character_also_after_wide_ones() -> None:
    with pytest.raises(FilterError) as caught:
        parse('漢字 é "oops')
    assert caught.value.message.splitlines()[1:] == ['  漢字 é "oops', "         ^"]


def test_the_caret_line_of_a_long_filter_shows_the_place_only() -> None:
    with pytest.raises(FilterError) as caught:
        parse("word" * 500 + " modle:x " + "word" * 500)
    shown, caret = caught.value.message.splitlines()[1:]
    assert len(shown) < 140
    assert shown[caret.index("^") :].startswith("modle:x")


@given(TEXTS)
@example('a."a."a."')
@example("model:=x")
@example("-" * 50)
@example("(" * 50)
def test_no_text_breaks_the_reader_and_the_canonical_spelling_means_the_same(text: str) -> None:
    try:
        query = read(text)
    except FilterError as error:
        problem = error
    else:
        problem = None
    if problem is not None:
        assert 0 <= problem.position <= len(text)
        return
    assert read(write(query)) == query
    assert write(read(write(query))) == write(query)


WORDS = st.text(min_size=1, max_size=8)
VALUES = st.lists(st.text(max_size=6), min_size=1, max_size=3).map(lambda parts: Value(tuple(parts)))
LEAVES = st.one_of(
    WORDS.map(lambda word: Term("", "", ":", (Value((word,)),))),
    st.builds(
        lambda field, values: Term(field, "", ":", tuple(values)),
        st.sampled_from([field.name for field in FIELDS if field.name not in ("prop", "score")]),
        st.lists(VALUES, min_size=1, max_size=3),
    ),
    st.builds(lambda key, value: Term("prop", key, ":", (value,)), WORDS, VALUES),
    st.builds(
        lambda field, operator, value: Term(field, "", operator, (Value((value,)),)),
        st.sampled_from(["status", "cost", "took"]),
        st.sampled_from([">", ">=", "<", "<="]),
        WORDS,
    ),
)


@given(LEAVES)
@settings(max_examples=300)
def test_every_term_survives_being_written(leaf: Term) -> None:
    assert read(write(leaf)) == leaf
    assert read(write(Not(leaf))) == Not(leaf)
    assert read(write(Or((leaf, And((leaf, Not(leaf))))))) == Or((leaf, And((leaf, Not(leaf)))))


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "(" * n,
        lambda n: "-" * n + "x",
        lambda n: "not " * (n // 4) + "x",
        lambda n: 'a."' * (n // 3),
        lambda n: "user:" + "a" * (n - 8) + "\\",
        lambda n: '"' + "\\" * (n - 2),
        lambda n: " " * n,
        lambda n: ("x" * 31 + " ") * (n // 32),
        lambda n: "a" * n,
        lambda n: "a" * (n - 1) + ":",
        lambda n: "user:" + "*" * (n - 5),
    ],
)
def test_time_grows_with_the_length_only(make: object) -> None:
    def measure(length: int) -> float:
        text = make(length)  # type: ignore[operator]
        best = 1.0
        for _ in range(3):
            started = time.perf_counter()
            with contextlib.suppress(FilterError):
                write(read(text))
            best = min(best, time.perf_counter() - started)
        return best

    assert measure(8_000) < 0.05


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x" * 8193, "at most 8192 characters"),
        ("x " * 257, "at most 256 values"),
        ("user:" + ",".join("x" * 257), "at most 256 values"),
        ("(" * 33 + "x" + ")" * 33, "at most 32 deep"),
    ],
)
def test_filters_are_bounded(text: str, problem: str) -> None:
    with pytest.raises(FilterError, match=problem):
        read(text)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_example_in_the_table_works(field: object) -> None:
    assert isinstance(parse(field.example), dict)  # type: ignore[attr-defined]


def test_every_alias_leads_to_its_field() -> None:
    for field in FIELDS:
        for name in (field.name, *field.aliases, field.name.upper()):
            found = find_field(name)
            assert found is not None
            assert found[0] is field

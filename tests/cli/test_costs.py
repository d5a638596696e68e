"""`heli costs`: groups, the total, and what no sum holds."""

import csv
import datetime
import json
import time

import pytest

from heli.schema.errors import ExitCode

KNOWN = {
    "model": "gpt-4o", "day": "2026-11-23", "requests": 1200, "cost_usd": 4.2112, "unknown_cost_requests": 0,
    "estimated_cost_requests": 0, "input_tokens": 1000, "cache_read_tokens": 400, "cache_write_tokens": None,
    "output_tokens": 12, "reasoning_tokens": None,
}  # fmt: skip
UNKNOWN = KNOWN | {"model": "mystery", "requests": 3, "cost_usd": None, "unknown_cost_requests": 3}
TOTAL = KNOWN | {"requests": 1203, "unknown_cost_requests": 3}
REPORT = {"by": ["model", "day"], "rows": [KNOWN, UNKNOWN], "total": TOTAL}


def test_groups_and_their_total(heli, backend):
    backend.costs = REPORT

    ran = heli("costs", "--by", "model,day", "-o", "table")

    assert ran.code == ExitCode.OK
    head, known, unknown, empty, total = ran.out.splitlines()
    assert head.split() == [
        "model",
        "day",
        "calls",
        "in",
        "cached",
        "written",
        "out",
        "reasoning",
        "cost",
        "unpriced",
    ]
    assert known.split() == ["gpt-4o", "2026-11-23", "1,200", "1,000", "400", "?", "12", "?", "$4.21", "0"]
    assert unknown.split() == ["mystery", "2026-11-23", "3", "1,000", "400", "?", "12", "?", "?", "3"]
    assert empty == ""
    assert total.split() == ["total", "1,203", "1,000", "400", "?", "12", "?", "$4.21", "3"]
    assert "3 calls have no known cost and are in no sum" in ran.err


def test_the_question_goes_to_the_backend(heli, backend):
    heli("costs", "user:alice", "--by", "model, property:team", "--since", "2026-11-23T10:00Z")

    ((path, query),) = backend.asked
    assert path == "/v1/costs"
    assert query == {
        "by": "model,property:team", "filter": "user:alice", "since": "2026-11-23T10:00:00Z", "tz": "UTC",
    }  # fmt: skip


def test_programs_get_numbers_with_all_digits(heli, backend):
    backend.costs = REPORT

    assert json.loads(heli("costs", "-o", "json").out) == REPORT | {
        "total": {name: value for name, value in TOTAL.items() if name not in ("model", "day")}
    }
    rows = list(csv.DictReader(heli("costs", "-o", "csv").out.splitlines()))
    assert [(row["model"], row["cost_usd"]) for row in rows] == [("gpt-4o", "4.2112"), ("mystery", "")]
    assert heli("costs").out.splitlines()[1].split("\t")[3] == "?"
    assert json.loads(heli("costs", "-o", "jsonl").out.splitlines()[0]) == KNOWN


@pytest.fixture
def in_berlin(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def test_hours_are_short_for_people_and_whole_for_programs(heli, backend, in_berlin):
    year = datetime.datetime.now().astimezone().year
    hours = [f"{year}-11-26T11:00:00+00:00", "2020-11-26T12:00:00+01:00"]
    rows = [{name: value for name, value in KNOWN.items() if name not in ("model", "day")} for _ in hours]
    told = [{"hour": hour} | row for hour, row in zip(hours, rows, strict=True)]
    backend.costs = {"by": ["hour"], "rows": told, "total": rows[0]}

    shown = heli("costs", "--by", "hour", "-o", "table").out.splitlines()

    assert [line.split("  ")[0] for line in shown[1:3]] == ["11-26 12:00", "2020-11-26 12:00"]
    assert [line.split("\t")[0] for line in heli("costs", "--by", "hour").out.splitlines()] == hours


def test_ids_are_refused(heli, backend):
    assert heli("costs", "-o", "id").code == ExitCode.USAGE


def test_nothing_is_said(heli, backend):
    ran = heli("costs", "-o", "table")

    assert (ran.code, ran.out, ran.err) == (ExitCode.OK, "", "no call matches\n")


def test_a_session_is_named_as_in_lists(heli, backend):
    rows = [
        KNOWN | {"session": "4711", "session_name": "fix-login"},
        KNOWN | {"session": "0198f1c2-aaaa-7bbb-8ccc-0123456789ab", "session_name": ""},
        KNOWN | {"session": "", "session_name": ""},
    ]
    backend.costs = {"by": ["session"], "rows": rows, "total": TOTAL}

    shown = heli("costs", "--by", "session", "-o", "table").out.splitlines()

    assert [line.split("  ")[0] for line in shown[1:4]] == ["fix-login", "0198f1c2", "(no session)"]
    assert heli("costs", "--by", "session").out.splitlines()[0].startswith("4711\t1200\t")
    told = json.loads(heli("costs", "--by", "session", "--json", "session,session_name").out)
    assert told[0] == {"session": "4711", "session_name": "fix-login"}


def test_only_the_fields_that_are_asked_for(heli, backend):
    backend.costs = REPORT

    ran = heli("costs", "--by", "model,day", "--json", "day,cost_usd")

    assert json.loads(ran.out) == [
        {"day": "2026-11-23", "cost_usd": 4.2112},
        {"day": "2026-11-23", "cost_usd": None},
    ]
    assert heli("costs", "--by", "model,day", "--json", "dya").code == ExitCode.USAGE

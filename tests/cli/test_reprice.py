"""`heli reprice`: it shows what changes, asks, and says what became of it."""

import json
import os
import pty
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from heli.schema.errors import ExitCode
from heli.schema.repricing import RepricedModel, RepricedSum, RepriceProgress, RepriceReport
from tests.cli.fake_backend import FakeBackend

MINI = RepricedModel(
    model="gpt-4o-mini",
    requests=1200,
    changed_requests=1200,
    old_cost_usd=Decimal("4.2112"),
    new_cost_usd=Decimal("2.1056"),
)
MYSTERY = RepricedModel(
    model="mystery",
    requests=3,
    changed_requests=3,
    new_cost_usd=Decimal("0.03"),
    old_unknown_cost_requests=3,
)
TOTAL = RepricedSum(
    requests=1203,
    changed_requests=1203,
    old_cost_usd=Decimal("4.2112"),
    new_cost_usd=Decimal("2.1356"),
    old_unknown_cost_requests=3,
)


def a_run(**changes):
    report = {"is_written": False, "rows": [MINI, MYSTERY], "total": TOTAL, "rewritten_requests": 1203}
    return [("progress", RepriceProgress(requests=1203)), ("done", RepriceReport(**report | changes))]


def test_a_look_shows_the_change_of_each_model(heli, backend):
    backend.repriced = a_run()

    ran = heli("reprice", "--dry-run", "-o", "table")

    assert ran.code == ExitCode.OK
    head, mini, mystery, empty, total = ran.out.splitlines()
    assert head.split() == ["model", "calls", "changed", "old", "cost", "new", "cost", "change", "unpriced"]
    assert mini.split() == ["gpt-4o-mini", "1,200", "1,200", "$4.21", "$2.11", "-$2.11", "0"]
    assert mystery.split() == ["mystery", "3", "3", "?", "$.03", "+$.03", "3", "→", "0"]
    assert empty == ""
    assert total.split() == ["total", "1,203", "1,203", "$4.21", "$2.14", "-$2.08", "3", "→", "0"]
    assert ran.err == "1,203 of 1,203 calls would get another cost\n"
    assert backend.posted == [{}]


def test_estimates_are_marked_before_and_after(heli, backend):
    half = msgspec.structs.replace(MINI, old_estimated_cost_requests=1)
    both = msgspec.structs.replace(half, new_estimated_cost_requests=2)
    backend.repriced = a_run(rows=[half, both])

    _, first, second, *_ = heli("reprice", "--dry-run", "-o", "table").out.splitlines()

    assert first.split()[3:6] == ["~$4.21", "$2.11", "-~$2.11"]
    assert second.split()[3:6] == ["~$4.21", "~$2.11", "-~$2.11"]


def test_the_question_goes_to_the_backend(heli, backend, tmp_path):
    backend.repriced = a_run()
    (tmp_path / "contract.toml").write_text("# prices\n")

    heli(
        *("reprice", "-user:alice", "--since", "2026-11-01T00:00Z", "--until", "2026-11-02T00:00Z"),
        *("--table", "contract.toml", "--date", "2026-01-01", "--yes"),
    )

    asked = {
        "filter": "not user:alice",
        "since": "2026-11-01T00:00:00Z",
        "until": "2026-11-02T00:00:00Z",
        "table": {"name": "contract.toml", "text": "# prices\n"},
        "date": "2026-01-01",
    }
    assert backend.posted == [asked, asked | {"write": True}]


def test_what_would_change_is_told_before_it_is_written(heli, backend):
    backend.repriced = a_run(is_written=True)

    ran = heli("reprice", "--yes", "-o", "json")

    assert json.loads(ran.out)["total"]["new_cost_usd"] == 2.1356
    assert "gpt-4o-mini" in ran.err
    assert ran.err.endswith("1,203 of 1,203 calls got another cost\n")


def test_programs_get_all_digits(heli, backend):
    backend.repriced = a_run()

    first, _ = heli("reprice", "--dry-run").out.splitlines()

    assert first.split("\t") == ["gpt-4o-mini", "1200", "1200", "4.2112", "2.1056", "0", "0", "0", "0"]


def test_where_nobody_can_answer_nothing_is_asked_and_nothing_written(heli, backend):
    ran = heli("reprice")

    assert ran.code == ExitCode.USAGE
    assert "add --yes to write, or --dry-run to look only" in ran.err
    assert backend.posted == []


def test_where_nothing_changes_nothing_is_written(heli, backend):
    backend.repriced = a_run(rows=[], total=RepricedSum(requests=7), rewritten_requests=0)

    ran = heli("reprice", "--yes")

    assert ran.err == "7 calls: nothing changes\n"
    assert len(backend.posted) == 1


def test_costs_that_stay_but_come_from_elsewhere_are_told_apart(heli, backend):
    backend.repriced = a_run(total=RepricedSum(requests=9, changed_requests=2), rewritten_requests=6)

    ran = heli("reprice", "--dry-run")

    assert ran.err == (
        "2 of 9 calls would get another cost; 4 keep theirs, from another price list or for another reason\n"
    )


def test_a_failure_of_the_backend_is_told_with_its_code(heli, backend):
    backend.repriced = [
        ("progress", RepriceProgress(requests=9)),
        ("failed", {"code": "unreachable", "message": "the request log does not answer", "hint": "start it"}),
    ]

    ran = heli("reprice", "--dry-run")

    assert ran.code == ExitCode.UNREACHABLE
    assert ran.err == "heli: the request log does not answer\n      start it\n"


def test_a_backend_that_stops_halfway_is_no_success(heli, backend):
    backend.repriced = [("progress", RepriceProgress(requests=9, seen=3))]

    ran = heli("reprice", "--yes")

    assert ran.code == ExitCode.UNREACHABLE
    assert "run it again to go on" in ran.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--date", "yesterday"], "--date: 'yesterday' is not a day"),
        (["--table", "nowhere.toml"], "--table: cannot read nowhere.toml: No such file or directory"),
        (["--since", "soon"], "--since"),
    ],
)
def test_bad_words_are_refused_before_anything_is_asked(heli, backend, words, complaint):
    ran = heli("reprice", "--dry-run", *words)

    assert ran.code == ExitCode.USAGE
    assert complaint in ran.err
    assert backend.posted == []


@pytest.mark.parametrize(("answer", "passes"), [(b"y\n", 2), (b"n\n", 1), (b"\n", 1)])
def test_on_a_terminal_it_asks(backend: FakeBackend, tmp_path: Path, answer: bytes, passes: int) -> None:
    backend.repriced = a_run()
    ours, theirs = pty.openpty()
    os.write(ours, answer)

    ran = subprocess.run(
        [sys.executable, "-m", "heli", "reprice"],
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"HELI_BACKEND__URL": backend.url, "HELI_HOME": str(tmp_path / "home")},
        check=True,
    )
    os.close(ours)
    os.close(theirs)

    assert "Replace the costs of 1,203 calls? [y/N]" in ran.stderr
    assert len(backend.posted) == passes
    assert ("nothing was written" in ran.stderr) == (passes == 1)

"""`heli logs` without a terminal: the list, its forms, and following in a pipe."""

import csv
import datetime
import json
import os
import subprocess
import sys
from decimal import Decimal

import pytest

from heli.schema.errors import ExitCode
from heli.schema.exchange import Outcome
from heli.schema.usage import CostState, Usage
from tests.cli.fake_backend import a_call, a_request, a_uuid, finished, started


def follow(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "heli", "logs", "--tail", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def tail():
    running = []

    def tail(*arguments):
        running.append(follow(*arguments))
        return running[-1]

    yield tail
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        process.stdout.close()
        process.stderr.close()


def test_the_last_calls_are_listed_the_newest_last(heli, backend):
    backend.requests = [a_request(number) for number in range(1, 31)]

    ran = heli("logs", "-o", "table")

    assert ran.code == ExitCode.OK
    assert ran.err == ""
    head, *lines = ran.out.splitlines()
    assert " ".join(head.split()) == "time id st model in cached out cost ttft took session what"
    assert len(lines) == 20
    assert lines[-1] == (
        "2025-11-23  001e7f  200  gpt-4o-mini               1,000      400      12  $.000127   0.2s   0.4s  "
        "fix-login     hello there → the quick brown fox"
    )


def test_numbers_stand_right(heli, backend):
    backend.requests = [
        a_request(1, usage=Usage(input_tokens=1), cost_usd=Decimal("12345.6")),
        a_request(2, usage=Usage(input_tokens=12_345_678), cost_usd=Decimal("0.1")),
    ]

    first, second = heli("logs", "-o", "table").out.splitlines()[1:]

    assert first.index(" 1 ") + 1 == second.index("12,345,678") + len("12,345,678") - 1
    assert first.index("$12,345.60") + len("$12,345.60") == second.index("$.10") + len("$.10")


def test_what_is_unknown_is_a_question_mark_and_never_zero(heli, backend):
    backend.requests = [
        a_request(
            status=429,
            usage=Usage(),
            cost_state=CostState.UNKNOWN,
            cost_usd=None,
            time_to_first_token_ms=None,
            error_class="rate_limit",
            error_message="retry after 12 s",
        )
    ]

    line = heli("logs", "-o", "table").out.splitlines()[1]

    assert line.split()[2:9] == ["429", "gpt-4o-mini", "?", "?", "?", "?", "-"]
    assert line.endswith("rate_limit: retry after 12 s")


def test_a_pipe_gets_plain_lines_in_utc(heli, backend):
    backend.requests = [a_request(1, cost_usd=None)]

    ran = heli("logs")

    fields = ran.out.rstrip("\n").split("\t")
    assert fields[:3] == ["2025-11-23T12:00:01Z", str(a_uuid(1)), "200"]
    assert fields[7:13] == ["1000", "400", "12", "?", "exact", "200.0"]
    assert "\x1b" not in ran.out


def test_captured_text_cannot_steer_the_terminal(heli, backend):
    evil = "a\x1b]0;pwned\x07b\u202ec\x9bd\ne"
    backend.requests = [a_request(request_preview=evil, model=evil, session_id=evil, response_preview="")]

    for form in ("table", "plain", "csv", "json", "jsonl"):
        out = heli("logs", "-o", form).out
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(out), form
    table = heli("logs", "-o", "table").out
    assert "a␛]0;pwned␇b<U+202E>c<U+009B>d e" in table
    assert len(table.splitlines()) == 2
    assert json.loads(heli("logs", "-o", "jsonl").out)["request_preview"] == evil


def test_json_keeps_every_digit_and_totals_are_with_it(heli, backend):
    backend.requests = [a_request(cost_usd=Decimal("0.000127200000000001234567"))]

    ran = heli("logs", "-o", "json")

    assert (
        '"cost_usd":0.000127200000000001234567' in ran.out.replace(" ", "")
        or "1.27200000000001234567E-4" in ran.out
    )
    (request,) = json.loads(ran.out, parse_float=Decimal)
    assert request["cost_usd"] == Decimal("0.000127200000000001234567")
    assert request["usage"]["total_input_tokens"] == 1000
    assert request["created_at"] == "2025-11-23T12:00:01Z"


def test_json_can_be_cut_to_fields(heli, backend):
    backend.requests = [a_request(properties={"env": "prod"})]

    ran = heli("logs", "--json", "model,usage.input_tokens,properties.env,properties.none")

    assert json.loads(ran.out) == [
        {"model": "gpt-4o-mini", "usage.input_tokens": 600, "properties.env": "prod", "properties.none": None}
    ]


def test_a_field_that_is_not_there_is_said_with_the_nearest(heli, backend):
    backend.requests = [a_request()]

    ran = heli("logs", "--json", "modle")

    assert ran.code == ExitCode.USAGE
    assert "there is no field 'modle'; did you mean" in ran.err
    assert "'model'" in ran.err


def test_csv_has_a_head_even_without_rows(heli, backend):
    assert heli("logs", "-o", "csv").out.startswith("created_at,id,status")
    backend.requests = [a_request(request_preview='a "b", c')]
    rows = list(csv.DictReader(heli("logs", "-o", "csv").out.splitlines()))
    assert rows[0]["summary"] == 'a "b", c → the quick brown fox'
    assert rows[0]["cost_usd"] == "0.00012720"


def test_ids_feed_other_commands(heli, backend):
    backend.requests = [a_request(1), a_request(2)]

    assert heli("logs", "-q").out == f"{a_uuid(1)}\n{a_uuid(2)}\n"
    assert heli("logs", "-o", "id", "-n", "1").out == f"{a_uuid(2)}\n"


def test_the_filter_and_times_go_to_the_backend(heli, backend):
    heli(
        "logs",
        "model:gpt*",
        "status>=400",
        "--since",
        "2026-11-23T10:00",
        "--until",
        "2026-11-23T11:00Z",
        "-n",
        "3",
    )

    ((path, query),) = backend.asked
    assert path == "/v1/requests"
    assert query == {
        "filter": "model:gpt* status>=400",
        "since": "2026-11-23T10:00:00Z",
        "until": "2026-11-23T11:00:00Z",
        "limit": "3",
        "order": "newest",
        "side_calls": "false",
    }


def test_since_lists_everything_from_then_on(heli, backend):
    backend.requests = [a_request(number) for number in range(1, 700)]

    ran = heli("logs", "--since", "2025-11-23T12:00:10Z", "-q")

    assert ran.out.split() == [str(a_uuid(number)) for number in range(10, 700)]


def test_a_time_that_is_none_is_said(heli, backend):
    ran = heli("logs", "--since", "newyear")

    assert ran.code == ExitCode.USAGE
    assert "--since: 'newyear' is not a time" in ran.err


def test_no_call_is_said_on_stderr(heli, backend):
    ran = heli("logs", "-o", "table")
    assert (ran.code, ran.out) == (ExitCode.OK, "")
    assert "no call has been captured yet" in ran.err
    assert heli("logs", "--exit-status").code == ExitCode.NOT_FOUND
    assert heli("logs", "-o", "json").out == "[]\n"


def test_where_none_was_asked_for_nothing_is_said(heli, backend):
    backend.requests = [a_request()]

    ran = heli("logs", "-n", "0", "-o", "table")

    assert (ran.code, ran.out, ran.err) == (ExitCode.OK, "", "")


def test_an_unknown_format_is_said(heli, backend):
    ran = heli("logs", "-o", "jsn")

    assert ran.code == ExitCode.USAGE
    assert "did you mean 'json'" in ran.err


def test_without_a_backend_the_hint_is_to_start_it(heli, monkeypatch):
    monkeypatch.setenv("HELI_BACKEND__URL", "http://127.0.0.1:9")

    ran = heli("logs")

    assert ran.code == ExitCode.UNREACHABLE
    assert ran.err == (
        "heli: the backend does not answer at http://127.0.0.1:9\n      start it with `heli up`\n"
    )


def test_following_in_a_pipe_writes_each_call_at_once_and_no_running_line(backend, tail):
    backend.requests = [a_request(1)]
    process = tail("-o", "jsonl")
    assert json.loads(process.stdout.readline())["id"] == str(a_uuid(1))
    assert backend.listened.wait(20)

    backend.tell(started(a_call(2)))
    backend.tell(finished(a_request(3)))

    assert json.loads(process.stdout.readline())["id"] == str(a_uuid(3))


def test_a_call_is_written_once_though_list_and_feed_both_tell_it(backend, tail):
    backend.requests = [a_request(1)]
    process = tail("-q")
    process.stdout.readline()
    assert backend.listened.wait(20)

    backend.tell(finished(a_request(1)))
    backend.tell(finished(a_request(2)))
    backend.tell(finished(a_request(2)))
    backend.tell(finished(a_request(3)))

    assert process.stdout.readline() == f"{a_uuid(2)}\n"
    assert process.stdout.readline() == f"{a_uuid(3)}\n"


def test_after_a_break_the_missed_calls_are_taken_from_the_list(backend, tail):
    process = tail("-q")
    assert backend.listened.wait(20)
    backend.tell(finished(a_request(1)))
    assert process.stdout.readline() == f"{a_uuid(1)}\n"

    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    backend.requests = [a_request(2, created_at=now, ended_at=now)]
    backend.hang_up()

    assert process.stdout.readline() == f"{a_uuid(2)}\n"
    assert backend.listened.wait(20)
    backend.tell(finished(a_request(3)))
    assert process.stdout.readline() == f"{a_uuid(3)}\n"
    process.kill()
    told = process.stderr.read()
    assert "trying again" in told
    assert "connected again; 1 call ended meanwhile" in told


def test_interrupting_is_130_and_silent(backend, tail):
    process = tail()
    assert backend.listened.wait(20)

    process.send_signal(2)

    assert process.wait(20) == ExitCode.INTERRUPTED
    assert process.stderr.read() == ""


def test_a_broken_pipe_is_a_silent_success(backend):
    backend.requests = [a_request(number) for number in range(1, 500)]
    reading, writing = os.pipe()
    os.close(reading)

    ran = subprocess.run(
        [sys.executable, "-m", "heli", "logs", "-n", "400"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)

    assert (ran.returncode, ran.stderr) == (ExitCode.OK, b"")


def test_a_filter_that_only_the_backend_refuses_keeps_its_caret(heli, backend, monkeypatch):
    words = "no such model\n  model:bar\n  ^"
    monkeypatch.setattr(
        backend,
        "answer",
        lambda path, query: (400, json.dumps({"error": {"message": words, "hint": "h"}}).encode()),
    )

    ran = heli("logs", "model:bar")

    assert ran.code == ExitCode.USAGE
    assert ran.err == f"heli: {words}\n      h\n"


def test_a_call_that_was_cut_says_so(heli, backend):
    backend.requests = [a_request(status=None, outcome=Outcome.UPSTREAM_ERROR, error_message="refused")]

    line = heli("logs", "-o", "table").out.splitlines()[1]

    assert "  -    gpt-4o-mini" in line
    assert line.endswith("upstream_error: refused")


def test_all_asks_for_side_calls_as_well(heli, backend):
    heli("logs", "--all")
    ((_, query),) = backend.asked
    assert "side_calls" not in query

"""Words that no command knows, and commands that need a heli which is not there."""

import subprocess
import sys

import pytest

from heli.schema.errors import ExitCode
from tests.bad_input.own_heli import OwnHeli


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("logs --nope", ["--nope", "heli logs --help"]),
        ("logs -Z", ["-Z", "heli logs --help"]),
        ("lgos", ["'lgos'", "did you mean 'logs'", "heli --help"]),
        ("serve gatewai", ["'gatewai'", "mean 'gateway'"]),
        ("serve gateway --workers x", ["--workers", "no whole number"]),
        ("serve gateway --workers 0", ["--workers", "too little", "from 1 to 256"]),
        ("logs -n x", ["--limit", "no whole number"]),
        ("logs --since nonsense", ["--since", "'nonsense'", "2h"]),
        ("logs -n -1", ["--limit", "-1 is too little", "0 or more"]),
        ("logs -n 99999999999999999999", ["--limit", "is too much"]),
        ("logs -n", ["-n wants a value", "heli logs --help"]),
        ("logs --tail=3", ["--tail takes no value"]),
        ("logs --limt 3", ["no option --limt", "mean --limit"]),
        ("show a b", ["nothing to do with 'b'"]),
        ("dead-letters show", ["ID is missing", "heli dead-letters show --help"]),
        ("config gte", ["no command 'gte'", "mean 'get'", "list, get, set"]),
        ("ca", ["`heli ca` wants a command", "show, export"]),
        ("-v", ["wants a command", "logs"]),
        ("logs -o xml", ["'xml'", "json"]),
        ("logs --color pink", ["--color: 'pink'", "auto, always, never"]),
        ("logs --tail --until 2h", ["--until", "--tail"]),
        ("logs --json id,nofield", ["'nofield'", "fields: id"]),
        ("logs --json usage.inputs", ["'usage.inputs'", "input_tokens"]),
        ("logs --tail --json nofield", ["'nofield'"]),
        ("dead-letters list --json nofield", ["'nofield'", "reason"]),
        ("config get nope", ["'nope'", "heli config"]),
        ("config get port.openai", ["'port.openai'", "ports.openai"]),
        ("config set ports.openai many", ["ports.openai is 'many'", "no whole number"]),
        ("config set ports.openai 99999", ["ports.openai is '99999'", "at most 65535"]),
        ("config set backend.ingest_token secret", ["backend.ingest_token", "-"]),
        ("completion tcsh", ["tcsh", "bash"]),
        ("help nope", ["nope"]),
        ("up and away", ["and"]),
    ],
)
def test_wrong_words_are_wrong_usage(idle: OwnHeli, words: str, told: list[str]) -> None:
    idle.command(*words.split()).refuses(ExitCode.USAGE, *told)
    assert not idle.home.exists()


@pytest.mark.parametrize("words", ["logs", "show @last", "costs", "logs user:alice --since 2h"])
def test_without_a_backend_it_is_told_how_to_start_one(idle: OwnHeli, words: str) -> None:
    idle.command(*words.split()).refuses(
        ExitCode.UNREACHABLE, f"http://127.0.0.1:{idle.ports['backend']}", "heli up"
    )


def test_nothing_runs_is_no_error_of_down_and_its_own_code_of_status(idle: OwnHeli) -> None:
    down, status = idle.command("down"), idle.command("status")
    assert (down.code, down.err) == (ExitCode.OK, "heli is not running\n")
    assert (status.code, status.err) == (
        ExitCode.UNREACHABLE,
        "heli is not running; `heli up` starts it\n",
    )


@pytest.mark.parametrize("fields", ["id", "usage.total_tokens", "properties.env", "summary,cost_usd"])
def test_known_fields_are_no_error_when_nothing_matches(running: OwnHeli, fields: str) -> None:
    told = running.command("logs", "user:nobody", "--json", fields)
    assert (told.code, told.out) == (ExitCode.OK, "[]\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["logs", "user:nobody", "--json", "modle"], ["'modle'", "model"]),
        (["costs", "--by", "nonsense"], ["nonsense", "model"]),
    ],
)
def test_what_is_not_known_of_a_call_is_wrong_usage(
    running: OwnHeli, words: list[str], told: list[str]
) -> None:
    running.command(*words).refuses(ExitCode.USAGE, *told)


@pytest.mark.parametrize(
    ("command", "filter", "place", "told"),
    [
        ("logs", "modle:gpt", 0, "did you mean model"),
        ("costs", "status>=4o4", 8, "4o4"),
        ("logs", "(user:alice", 0, "never closed"),
        ("costs", "user:alice OR", 11, "OR wants a term"),
        ("logs", "model:(", 7, "model: wants a value"),
    ],
)
def test_a_filter_that_does_not_parse_is_shown_with_its_place_also_when_nothing_runs(
    idle: OwnHeli, command: str, filter: str, place: int, told: str
) -> None:
    code, out, err = idle.command(command, filter)
    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith("heli: ")
    assert told in err
    assert "Traceback" not in err
    shown, caret = next(
        (above, below)
        for above, below in zip(err.splitlines(), err.splitlines()[1:], strict=False)
        if below.strip() == "^"
    )
    assert caret.index("^") - shown.index(filter) == place


def test_an_unknown_id_is_not_found_and_an_ambiguous_one_a_conflict(running: OwnHeli) -> None:
    running.command("show", "ffffffff-0000-4000-8000-000000000000").refuses(ExitCode.NOT_FOUND, "ffffffff")
    running.command("show", "@-9999").refuses(ExitCode.NOT_FOUND, "@-9999")
    running.command("show", "not an id").refuses(ExitCode.USAGE, "not an id")
    ids = running.logged(20)
    shared = ids[0][:8]
    if sum(one.startswith(shared) for one in ids) > 1:
        running.command("show", shared).refuses(ExitCode.CONFLICT, shared)


def test_nothing_matches_is_said_and_an_exit_code_only_when_it_is_asked_for(running: OwnHeli) -> None:
    plain = running.command("logs", "user:nobody", "-o", "table")
    assert (plain.code, plain.err) == (ExitCode.OK, "no call matches\n")
    assert running.command("logs", "user:nobody", "--exit-status").code == ExitCode.NOT_FOUND


@pytest.mark.parametrize("words", ["logs", "logs -o json", "show --raw", "--help"])
def test_a_reader_that_leaves_ends_it_silently(running: OwnHeli, words: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "heli", *words.split()],
        env=running.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (ExitCode.OK, b"")

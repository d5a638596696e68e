"""The entry point: first pages, quick starts, errors as sentences, exit codes."""

import json
import os
import re
import resource
import subprocess
import sys

import pytest

from heli.cli.commands import COMMANDS
from heli.schema.errors import ExitCode

HEAVY = (
    "textual", "mitmproxy", "fastapi", "httpx", "uvicorn", "sqlalchemy", "clickhouse_connect", "chdb",
    "rich", "pydantic", "msgspec", "typer",
)  # fmt: skip


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a command has loaded, of those that are slow to load."""
    code = (
        "import sys, io, contextlib\n"
        "from heli.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(sys.argv[1:])\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_the_first_pages_load_nothing():
    assert loaded_by("--help") == set()
    assert loaded_by() == set()
    assert loaded_by("--version") == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_loads_nothing_that_it_would_need_to_work(name):
    assert (
        loaded_by(name, "--help")
        & {"textual", "pydantic", "mitmproxy", "fastapi", "rich", "sqlalchemy", "chdb"}
        == set()
    )


def test_help_takes_less_than_150_ms_of_work():
    subprocess.run([sys.executable, "-m", "heli", "--help"], check=True, capture_output=True)

    def work() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "heli", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(work() for _ in range(5)) < 0.15


def test_bare_heli_names_three_commands(heli):
    ran = heli()

    assert ran.code == ExitCode.OK
    assert [line.split("  ")[1] for line in ran.out.splitlines() if line.startswith("  ")] == [
        "heli run -- claude",
        "heli logs --tail",
        "heli show @last",
    ]


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_begins_with_examples_and_lists_every_command(heli, flag):
    ran = heli(flag)

    assert ran.code == ExitCode.OK
    assert ran.out.index("Examples:") < ran.out.index("Usage:") < ran.out.index("Options:")
    for name, command in COMMANDS.items():
        assert f"  {name:<14}{command.summary}\n" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_help_after_a_global_flag_is_the_same(heli):
    assert heli("--color", "never", "--help").out == heli("--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(heli, name):
    ran = heli(name, "-h")

    assert (ran.code, ran.err) == (ExitCode.OK, "")
    assert f"heli {name}" in ran.out
    assert "Example" in ran.out


def test_the_version(heli):
    import heli as package

    assert heli("--version").out == f"heli {package.__version__}\n"
    assert heli("--color", "never", "--version").out == f"heli {package.__version__}\n"


def test_a_typo_is_met_with_a_suggestion(heli):
    ran = heli("lgos")

    assert ran.code == ExitCode.USAGE
    assert (
        ran.err
        == "heli: there is no command 'lgos'; did you mean 'logs'?\n      `heli --help` lists them all\n"
    )


@pytest.mark.parametrize(
    "arguments", [("logs", "--nope"), ("--nope",), ("up", "extra"), ("serve",), ("serve", "x")]
)
def test_what_is_not_known_is_an_error_and_never_swallowed(heli, arguments):
    ran = heli(*arguments)

    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert ran.err.startswith("heli: ")
    assert "--help`" in ran.err


def test_a_bad_setting_names_its_variable(heli, monkeypatch):
    monkeypatch.setenv("HELI_PORTS__OPENAI", "many")

    ran = heli("config")

    assert ran.code == ExitCode.USAGE
    assert "HELI_PORTS__OPENAI" in ran.err


def test_a_bug_is_one_sentence_and_a_log(heli, home, backend, monkeypatch):
    backend.answer = None

    def explode(*_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("heli.cli.paths.list_paths", explode)

    ran = heli("paths")

    assert ran.code == ExitCode.FAILURE
    log = home / "state" / "logs" / "heli.log"
    assert ran.err == (
        "heli: unexpected ZeroDivisionError: by zero\n"
        f"      details are in {log}; HELI_DEBUG=1 shows them here\n"
    )
    assert "in explode" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wish", ["HELI_DEBUG", "-vv"])
def test_a_traceback_is_shown_to_who_asks(heli, monkeypatch, wish):
    monkeypatch.setattr("heli.cli.paths.list_paths", lambda _: 1 / 0)
    if wish.startswith("HELI"):
        monkeypatch.setenv(wish, "1")

    ran = heli(*([wish] if wish == "-vv" else []), "paths")

    assert "Traceback" in ran.err
    assert "ZeroDivisionError" in ran.err


def test_paths_follow_heli_home(heli, home):
    found = json.loads(heli("paths", "--json").out)

    assert found["config"] == str(home / "config.toml")
    assert found["logs"] == str(home / "state" / "logs")
    assert [line.split()[0] for line in heli("paths").out.splitlines()] == list(found)


def test_exit_codes_are_explained(heli):
    out = heli("help", "exit-codes").out

    assert [int(line.split()[0]) for line in out.splitlines() if line.startswith("  ")] == [
        code.value for code in ExitCode
    ]


def test_filters_are_explained_field_by_field(heli):
    from heli.schema.filter import FIELDS, parse

    out = heli("help", "filters").out

    for field in (field for field in FIELDS if field.is_set):
        assert field.name in out
        assert field.example in out
    for line in out.splitlines():
        if line.startswith("  heli logs '"):
            parse(line.split("'")[1])


def test_help_never_runs_what_it_explains(heli, tmp_path):
    done = tmp_path / "done"
    for words in (["run", "--", "touch", str(done)], ["run", "touch"], ["logs", "x"], ["ca", "shw"]):
        ran = heli("help", *words)
        assert (ran.code, ran.out, "there is no help on" in ran.err) == (ExitCode.USAGE, "", True)
    assert not done.exists()
    assert "did you mean 'show'" in ran.err
    assert heli("help", "ca", "show").out == heli("ca", "show", "--help").out
    assert heli("help", "run").out == heli("run", "--help").out


def test_help_on_a_command_is_its_help(heli):
    assert heli("help", "logs").out == heli("logs", "--help").out
    ran = heli("help", "fitlers")
    assert (ran.code, "did you mean 'filters'" in ran.err) == (ExitCode.USAGE, True)


def test_the_tree_of_commands_is_told_to_programs(heli):
    tree = json.loads(heli("help", "--json").out)

    assert [command["name"] for command in tree["commands"]] == list(COMMANDS)
    serve = next(command for command in tree["commands"] if command["name"] == "serve")
    assert {command["name"] for command in serve["commands"]} == {"gateway", "intercept", "backend", "store"}
    logs = next(command for command in tree["commands"] if command["name"] == "logs")
    tail = next(parameter for parameter in logs["parameters"] if parameter["name"] == "tail")
    assert set(tail["flags"]) == {"--tail", "--follow", "-f"}
    assert tail["is_flag"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell", "pwsh"])
def test_each_shell_gets_its_script(heli, shell):
    ran = heli("completion", shell)

    assert ran.code == ExitCode.OK
    assert "_HELI_COMPLETE" in ran.out


def test_completion_knows_commands_and_options():
    def complete(words: str) -> list[str]:
        environment = os.environ | {
            "_HELI_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        command = [sys.executable, "-m", "heli"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return ran.stdout.split()

    assert complete("heli lo") == ["logs"]
    assert complete("heli logs --si") == ["--since"]
    assert set(complete("heli serve ")) >= {"gateway", "backend", "store"}
    assert complete("heli logs -o js") == ["json", "jsonl"]
    assert complete("heli logs --since y") == ["yesterday"]
    assert complete("heli costs --by day,mo") == ["day,model", "day,month"]
    assert complete("heli costs --by day,da") == []
    assert complete("heli config set ports.o") == ["ports.openai"]
    assert complete("heli config unset providers.gr") == ["providers.groq.base_url"]
    assert complete("heli help fi") == ["filters"]
    assert complete("heli completion z") == ["zsh"]


def test_an_unknown_shell_is_an_error(heli):
    ran = heli("completion", "bsh")

    assert (ran.code, "did you mean 'bash'" in ran.err) == (ExitCode.USAGE, True)


def test_help_offers_no_filter_that_nothing_sets(heli):
    told = heli("help", "filters").out

    names = [line.split()[0] for line in told.splitlines() if line.startswith("  ") and line[2:3].strip()]
    assert {"model", "session", "cost"} <= set(names)
    assert not {"score", "cached"} & set(names)
    assert not re.search(r"completion|TUI|every command", told)


def test_paths_and_settings_are_separated_by_tabs_in_a_pipe(heli, home):
    assert f"config\t{home / 'config.toml'}\n" in heli("paths").out
    assert "ports.openai\t8787\n" in heli("config").out
    assert "ports.openai\t8787\tdefault\n" in heli("config", "--origin").out

"""`heli config`: values, where they came from, secrets hidden, and a file that is changed with care."""

import io
import json
import tomllib

import pytest

from heli.cli.toml_edit import remove_value, set_value
from heli.schema.errors import ExitCode, UsageError
from heli.schema.setting_checks import how_to_set
from heli.schema.settings import Settings, load_settings


def test_all_settings_are_listed(heli):
    ran = heli("config")

    assert ran.code == ExitCode.OK
    assert "ports.openai" in ran.out
    assert (
        dict(line.split(None, 1) for line in ran.out.splitlines() if len(line.split()) == 2)["ports.openai"]
        == "8787"
    )


def test_origins_say_what_won(heli, home, monkeypatch):
    home.mkdir(parents=True)
    (home / "config.toml").write_text("[ports]\nopenai = 1111\nanthropic = 2222\n")
    monkeypatch.setenv("HELI_PORTS__ANTHROPIC", "3333")

    lines = {line.split()[0]: line.split()[1:] for line in heli("config", "--origin").out.splitlines()}

    assert lines["ports.openai"] == ["1111", str(home / "config.toml")]
    assert lines["ports.anthropic"] == ["3333", "HELI_PORTS__ANTHROPIC"]
    assert lines["ports.gateway"] == ["8789", "default"]


def test_secrets_are_hidden(heli, monkeypatch):
    monkeypatch.setenv("HELI_BACKEND__INGEST_TOKEN", "s3cret")
    monkeypatch.setenv("HELI_STORE__URL", "http://heli:s3cret@clickhouse:8123/heli")

    for arguments in (
        ["config"],
        ["config", "--origin"],
        ["config", "--json"],
        ["config", "get", "store.url"],
    ):
        out = heli(*arguments).out
        assert "s3cret" not in out, arguments
    assert heli("config", "get", "store.url").out == "http://heli:***@clickhouse:8123/heli\n"
    assert heli("config", "get", "backend.ingest_token", "--reveal").out == "s3cret\n"


def test_one_value_is_printed_bare(heli):
    assert heli("config", "get", "ports.backend").out == "8585\n"
    assert json.loads(heli("config", "--json").out)["ports.backend"] == 8585


def test_an_unknown_name_is_met_with_the_nearest(heli):
    for arguments in (["get", "ports.opneai"], ["set", "ports.opneai", "1"]):
        ran = heli("config", *arguments)
        assert ran.code == ExitCode.USAGE
        assert "did you mean 'ports.openai'" in ran.err


def test_setting_writes_the_file_and_says_what_to_do_next(heli, home):
    ran = heli("config", "set", "ports.openai", "18787")

    file = home / "config.toml"
    assert ran.code == ExitCode.OK
    assert tomllib.loads(file.read_text()) == {"ports": {"openai": 18787}}
    assert file.stat().st_mode & 0o777 == 0o600
    assert "heli restart" in ran.err
    assert heli("config", "get", "ports.openai").out == "18787\n"


@pytest.mark.parametrize(
    ("name", "value", "typed"),
    [
        ("gateway.allow_targets", "10.0.0.0/8, ollama:11434", ["10.0.0.0/8", "ollama:11434"]),
        ("gateway.header_timeout_s", "2.5", 2.5),
        ("providers.openai.base_url", "http://localhost:9100", "http://localhost:9100"),
    ],
)
def test_values_are_written_in_their_type(heli, home, name, value, typed):
    assert heli("config", "set", name, value).code == ExitCode.OK

    tree = tomllib.loads((home / "config.toml").read_text())
    for key in name.split("."):
        tree = tree[key]
    assert tree == typed


def test_a_value_that_does_not_fit_changes_nothing(heli, home):
    ran = heli("config", "set", "ports.openai", "many")

    assert ran.code == ExitCode.USAGE
    assert "ports.openai" in ran.err
    assert not (home / "config.toml").exists()


def test_a_secret_is_not_an_argument_but_is_read_from_stdin(heli, home, monkeypatch):
    assert heli("config", "set", "backend.ingest_token", "s3cret").code == ExitCode.USAGE
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret\n"))

    ran = heli("config", "set", "backend.ingest_token", "-")

    assert "s3cret" not in ran.err + ran.out
    assert "s3cret" in (home / "config.toml").read_text()


def test_what_wins_over_the_file_is_said_with_what_to_do(heli, home, monkeypatch):
    monkeypatch.setenv("HELI_PORTS__OPENAI", "3333")

    told = heli("config", "set", "ports.openai", "4444").err

    assert "HELI_PORTS__OPENAI says 3333, and wins: unset HELI_PORTS__OPENAI, or change it there" in told
    assert "heli restart" not in told


def test_a_file_that_cannot_be_is_mended_by_setting_it_right(heli, home):
    home.mkdir(parents=True)
    (home / "config.toml").write_text("[ports]\nopenai = 8585\nstore = 0\n")

    told = heli("config", "set", "ports.store", "8586")
    assert told.code == ExitCode.OK
    assert "not right yet: ports.openai and ports.backend are both 8585" in told.err
    assert heli("config", "set", "ports.openai", "8787").code == ExitCode.OK
    assert heli("config", "get", "ports.openai").out == "8787\n"


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        ("", "heli config set ports.openai 18787"),
        ("/home/me/.config/heli/config.toml", "heli config set ports.openai 18787"),
        ("HELI_PORTS__OPENAI", "set HELI_PORTS__OPENAI=18787 (the variable wins"),
        ("/work/heli.toml", "write ports.openai = 18787 into /work/heli.toml (it wins"),
    ],
)
def test_the_advice_is_to_change_a_setting_where_it_was_set(origin, told):
    assert how_to_set("ports.openai", 18787, origin).startswith(told)


FILE = """\
# mine
log_level = "debug"  # for now

[ports]
# the usual one was taken
openai = 1  # "really"
gateway = 2

[providers.groq]
base_url = "http://x/#y"
"""


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("ports.openai", 9, 'openai = 1  # "really"', 'openai = 9  # "really"'),
        ("log_level", "info", 'log_level = "debug"  # for now', 'log_level = "info"  # for now'),
        ("ports.store", 7, "gateway = 2\n", "gateway = 2\nstore = 7\n"),
        ("providers.groq.base_url", "http://z", 'base_url = "http://x/#y"', 'base_url = "http://z"'),
        ("host", "::1", "# for now\n", '# for now\nhost = "::1"\n'),
    ],
)
def test_the_rest_of_the_file_stays_as_it_is(name, value, old, new):
    assert set_value(FILE, name, value) == FILE.replace(old, new)


def test_a_new_table_comes_at_the_end():
    assert set_value(FILE, "store.url", "http://c") == FILE + '\n[store]\nurl = "http://c"\n'
    assert set_value("", "store.url", "http://c") == '[store]\nurl = "http://c"\n'


@pytest.mark.parametrize(
    "text", ["ports = { openai = 1 }\n", "ports.openai = 1\n", 'x = """\n[ports]\nopenai = 1\n"""\n']
)
def test_what_cannot_be_changed_safely_is_left_alone(text):
    with pytest.raises(UsageError, match="cannot be changed safely"):
        set_value(text, "ports.openai", 2)


# Unset.


def test_a_value_is_taken_out_and_the_rest_stays(heli, home):
    home.mkdir(parents=True)
    file = home / "config.toml"
    file.write_text("# mine\n\n[ports]\nopenai = 1111  # why\nanthropic = 2222\n")

    ran = heli("config", "unset", "ports.openai")

    assert ran.code == ExitCode.OK
    assert f"ports.openai is no longer in {file}" in ran.err
    assert file.read_text() == "# mine\n\n[ports]\nanthropic = 2222\n"
    assert heli("config", "get", "ports.openai").out == "8787\n"


def test_what_is_not_set_cannot_be_taken_out(heli, home):
    home.mkdir(parents=True)
    (home / "config.toml").write_text("# nothing yet\n")
    assert heli("config", "unset", "ports.openai").code == ExitCode.NOT_FOUND
    assert heli("config", "unset", "ports.opnai").code == ExitCode.USAGE
    assert (home / "config.toml").read_text() == "# nothing yet\n"


def test_a_variable_that_goes_on_to_win_is_told(heli, home, monkeypatch):
    home.mkdir(parents=True)
    (home / "config.toml").write_text("[ports]\nopenai = 1111\n")
    monkeypatch.setenv("HELI_PORTS__OPENAI", "3333")
    assert "HELI_PORTS__OPENAI says 3333, and wins" in heli("config", "unset", "ports.openai").err


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[ports]\nopnai = 1111\nopenai = 2222\n", "ports.opnai"),
        ("[prots]\nopenai = 1111\n[ports]\nopenai = 2222\n", "prots.openai"),
        ("[prots]\n[ports]\nopenai = 2222\n", "prots"),
    ],
)
def test_a_name_that_is_no_setting_can_be_taken_out(heli, home, text, name):
    home.mkdir(parents=True)
    (home / "config.toml").write_text(text)
    assert heli("config").code == ExitCode.USAGE
    assert heli("config", "unset", name).code == ExitCode.OK
    assert heli("config", "get", "ports.openai").out == "2222\n"
    assert (home / "config.toml").read_text() == "[ports]\nopenai = 2222\n"


def test_a_provider_that_there_is_not_leaves_nothing_behind(heli, home):
    home.mkdir(parents=True)
    file = home / "config.toml"
    file.write_text('[providers.openia]\nbase_url = "http://127.0.0.1:9"\n')
    assert heli("config", "unset", "providers.openia.base_url").code == ExitCode.OK
    assert load_settings({"HELI_HOME": str(home)}).settings.providers == Settings().providers


@pytest.mark.parametrize("change", [("set", "ports.openai", "1"), ("unset", "ports.openai")])
def test_a_file_that_is_not_toml_is_left_alone(heli, home, change):
    home.mkdir(parents=True)
    (home / "config.toml").write_text("[ports\nopenai = 1111\n")
    ran = heli("config", *change)
    assert ran.code == ExitCode.USAGE
    assert "mend the file, or move it away" in ran.err
    assert (home / "config.toml").read_text() == "[ports\nopenai = 1111\n"


@pytest.mark.parametrize(
    "text", ["ports.openai = 1\n", "ports = {openai = 1}\n", '[ports]\nopenai = """\n1\n"""\n']
)
def test_what_cannot_be_taken_out_safely_is_left_to_an_editor(text):
    with pytest.raises(UsageError, match="changed safely"):
        remove_value(text, "ports.openai")


def test_the_last_value_of_a_file_leaves_nothing_behind():
    assert remove_value("host = 'x'\n", "host") == ""
    assert remove_value("[a]\nb = 1\n", "a.b") == ""
    assert remove_value("[a]\n[a.b]\nc = 1\n[d]\ne = 1\n", "a.b.c") == "[d]\ne = 1\n"
    assert remove_value("[a]\nb = 1\n[a.c]\nd = 1\n", "a.c.d") == "[a]\nb = 1\n"
    assert remove_value("# why\n[a]\n", "a") == "# why\n"
    assert remove_value("x = '\u2028'\r\ny = 1\r\n", "y") == "x = '\u2028'\r\n"
    assert remove_value("[a]\nb = 1\n", "a") is None
    assert remove_value("[a]\nb = 1\n", "a.c") is None
    assert remove_value("a = 1\n", "a.c") is None

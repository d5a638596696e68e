"""Settings that cannot be: in config.toml, heli.toml, variables and price files."""

import pytest

from heli.schema.errors import ExitCode
from tests.bad_input.own_heli import OwnHeli


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[ports\nopenai = 1", ["config.toml", "line 1"]),
        (b"nope = 1", ["config.toml", "'nope'"]),
        (b"[gateway]\nwrokers = 1", ["config.toml", "'gateway.wrokers'", "mean 'gateway.workers'"]),
        (b'[ports]\nstore = "many"', ["config.toml", "ports.store is 'many'", "no whole number"]),
        (b"[ports]\nstore = 0", ["config.toml", "ports.store is 0", "at least 1"]),
        (b"[gateway]\ndrain_timeout_s = -1", ["config.toml", "gateway.drain_timeout_s"]),
        (b"ports = 3", ["config.toml", "ports is 3", "group of settings"]),
        (b'host = "0.0.0.0"', ["config.toml", "'0.0.0.0'", "127.0.0.1"]),
        (b'log_level = "loud"', ["config.toml", "'loud'", "debug"]),
        (b'[store]\nurl = "clickhouse:8123"', ["config.toml", "'clickhouse:8123'", "http://"]),
        (b'[database]\nurl = "nonsense"', ["config.toml", "'nonsense'", "sqlite:///"]),
        (b"\xff\xfe", ["config.toml", "utf-8"]),
    ],
)
def test_a_config_file_that_cannot_be_is_named_with_the_setting(
    idle: OwnHeli, text: bytes, told: list[str]
) -> None:
    idle.home.mkdir()
    (idle.home / "config.toml").write_bytes(text)
    idle.command("status").refuses(ExitCode.USAGE, *told)
    assert [file.name for file in idle.home.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("words", ["up -d", "serve gateway", "logs"])
def test_every_command_says_so(idle: OwnHeli, words: str) -> None:
    idle.home.mkdir()
    (idle.home / "config.toml").write_text("nope = 1")
    idle.command(*words.split()).refuses(ExitCode.USAGE, "config.toml", "'nope'", "docs/configuration.md")


@pytest.mark.parametrize("words", ["up -d", "serve gateway"])
def test_a_provider_that_there_is_not_is_told(idle: OwnHeli, words: str) -> None:
    idle.home.mkdir()
    (idle.home / "config.toml").write_text('[providers.openia]\nbase_url = "http://127.0.0.1:9"')
    idle.command(*words.split()).refuses(ExitCode.USAGE, "config.toml", "'openia'", "mean 'openai'")
    refused = idle.command("config", "set", "providers.opnai.base_url", "http://127.0.0.1:9")
    refused.refuses(ExitCode.USAGE, "'opnai'", "mean 'openai'")


def test_help_and_paths_need_no_settings(idle: OwnHeli) -> None:
    idle.home.mkdir()
    (idle.home / "config.toml").write_text("= = =")
    for words in (["--help"], ["paths"], ["help", "exit-codes"]):
        assert idle.command(*words).code == ExitCode.OK


def test_a_folder_for_a_file_is_told(idle: OwnHeli) -> None:
    (idle.home / "config.toml").mkdir(parents=True)
    idle.command("status").refuses(ExitCode.USAGE, "config.toml", "directory")


def test_what_a_cluster_tells_of_a_service_named_heli_is_no_setting(idle: OwnHeli) -> None:
    idle.environ |= {
        "HELI_SERVICE_HOST": "10.0.0.7",
        "HELI_SERVICE_PORT": "8787",
        "HELI_SERVICE_PORT_OPENAI": "8787",
        "HELI_PORT": "tcp://10.0.0.7:8787",
        "HELI_PORT_8787_TCP": "tcp://10.0.0.7:8787",
        "HELI_PORT_8787_TCP_ADDR": "10.0.0.7",
    }
    assert idle.command("config", "get", "log_level").out == "info\n"


def test_a_heli_toml_in_the_folder_counts_and_is_named(idle: OwnHeli) -> None:
    local = idle.home.parent / "heli.toml"
    local.write_text("[ports]\nopenai = true")
    idle.environ.pop("HELI_PORTS__OPENAI")
    idle.command("config").refuses(ExitCode.USAGE, str(local), "ports.openai")
    local.write_text("[ports]\nopenai = 18787")
    assert idle.command("config", "get", "ports.openai").out == "18787\n"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("HELI_NOPE", "1", ["'nope'"]),
        (
            "HELI_PROVIDERS__OPENAI__BASE_URL",
            "notaurl",
            ["providers.openai.base_url", "'notaurl'", "http://"],
        ),
        ("HELI_PORT__OPENAI", "1", ["'port'"]),
        ("HELI_PORTS__OPENAI", "99999", ["ports.openai", "65535"]),
        ("HELI_PORTS__OPENAI__X", "1", ["ports.openai"]),
        ("HELI_GATEWAY__WORKERS", "-1", ["gateway.workers", "at least 1"]),
        ("HELI_BACKEND__URL", "http://a:b/", ["backend.url", "http://a:b/"]),
    ],
)
def test_a_variable_that_cannot_be_is_named(idle: OwnHeli, name: str, value: str, told: list[str]) -> None:
    idle.command("status", **{name: value}).refuses(ExitCode.USAGE, name, *told)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", ["database.url", "'nonsense'", "HELI_DATABASE__URL"]),
        ("postgres+nope://u:sesame@h/heli", ["database.url", "'postgres+nope'", "nobody knows"]),
        ("postgresql+asyncpg://u:sesame@h/heli", ["database.url", "asyncpg", "not installed"]),
        ("sqlite://host:port/file", ["database.url", "'sqlite'"]),
    ],
)
def test_a_database_that_cannot_be_is_told_before_anything_starts(
    idle: OwnHeli, url: str, told: list[str]
) -> None:
    backend = idle.command("serve", "backend", HELI_DATABASE__URL=url)
    backend.refuses(ExitCode.USAGE, *told)
    assert "sesame" not in backend.err


def test_two_listeners_cannot_share_a_port(idle: OwnHeli) -> None:
    port = str(idle.ports["store"])
    idle.command("up", HELI_PORTS__OPENAI=port).refuses(ExitCode.USAGE, "ports.openai", "ports.store", port)


@pytest.mark.parametrize(
    ("words", "below"),
    [("up", ""), ("up -d", "below"), ("serve gateway", "below"), ("config set ports.openai 18787", "")],
)
def test_a_home_that_cannot_be_made_is_told(idle: OwnHeli, words: str, below: str) -> None:
    idle.home.write_text("precious")
    place = idle.home / below
    told = idle.command(*words.split(), HELI_HOME=str(place))
    told.refuses(ExitCode.FAILURE, str(place), "a file is where a folder should be", "HELI_HOME")
    assert idle.home.read_text() == "precious"


def test_what_only_looks_does_without_a_home(idle: OwnHeli) -> None:
    idle.home.write_text("precious")
    assert idle.command("status").code == ExitCode.UNREACHABLE
    assert idle.command("config").code == ExitCode.OK


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[price", ["is not TOML", "docs/prices.md"]),
        ("[[models]]\nx = 1", ["'models'", "price"]),
        ('[[price]]\nmodel = "m"\ninput = "much"', ["price"]),
    ],
)
def test_prices_that_cannot_be_are_told_before_anything_starts(
    idle: OwnHeli, text: str, told: list[str]
) -> None:
    idle.home.mkdir()
    (idle.home / "prices.toml").write_text(text)
    backend = idle.command("serve", "backend")
    backend.refuses(ExitCode.USAGE, "prices.toml", *told)

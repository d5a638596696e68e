"""What `heli doctor` finds of heli itself and of the environment, each with a fix."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from heli.cli.doctor.finding import Finding, State
from heli.cli.doctor.machine import (
    check_authority,
    check_clock,
    check_disk,
    check_folders,
    check_processes,
    check_spool,
    check_versions,
)
from heli.cli.doctor.surroundings import look_at_environment
from heli.proxy.intercept.authority import certificate_file
from heli.schema.settings import Loaded, load_settings
from tests.proxy.intercept.certificates import make_aged

HOSTS = ("api.openai.com", "*.openai.azure.com")


@pytest.fixture
def loaded(free_ports: Callable[[int], list[int]], home: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    names = ("OPENAI", "LOG_API", "GATEWAY", "ANTHROPIC", "BACKEND", "STORE", "INTERCEPT")
    for name, port in zip(names, free_ports(len(names)), strict=True):
        monkeypatch.setenv(f"HELI_PORTS__{name}", str(port))
    return load_settings()


def wrong(findings: object) -> list[Finding]:
    found = [each for each in findings if each.state is State.FINDING]  # type: ignore[attr-defined]
    assert all(each.fix for each in found)
    return found


def test_a_heli_that_does_not_run_is_found(loaded: Loaded) -> None:
    (found,) = wrong(check_processes(loaded))
    assert (found.message, found.fix) == ("heli is not running", "heli up -d")


def test_a_port_that_another_program_holds_is_found(loaded: Loaded) -> None:
    port = loaded.settings.ports.anthropic
    with socket.create_server(("127.0.0.1", port)):
        _, found = wrong(check_processes(loaded))
    assert found.about == "ports"
    assert found.message.startswith(f"port {port} (ports.anthropic) is taken by ")
    assert f"(pid {os.getpid()})" in found.message
    assert "\n" not in found.message


def test_a_fresh_machine_has_nothing_else_to_mend(loaded: Loaded) -> None:
    checks = [
        *check_versions(),
        *check_folders(loaded.paths),
        *check_disk(loaded),
        *check_spool(loaded),
        *check_authority(loaded.paths),
        *check_clock(loaded),
    ]
    assert wrong(checks) == []


def test_files_that_others_may_read_are_found(loaded: Loaded) -> None:
    loaded.paths.state.mkdir(parents=True)
    loaded.paths.state.chmod(0o755)
    (loaded.paths.state / "ingest-token").write_text("secret")
    (loaded.paths.state / "ingest-token").chmod(0o644)
    (found,) = wrong(check_folders(loaded.paths))
    assert "others may read" in found.message
    loaded.paths.state.chmod(0o700)
    assert wrong(check_folders(loaded.paths)) == []


def test_a_folder_that_may_not_be_written_is_found(loaded: Loaded, home: Path) -> None:
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file")
    assert any("where a folder should be" in found.message for found in wrong(check_folders(loaded.paths)))


def test_dead_letters_are_found(loaded: Loaded) -> None:
    (loaded.paths.spool / "gateway-0").mkdir(parents=True)
    letters = loaded.paths.dead_letters / "gateway-0"
    letters.mkdir(parents=True)
    (letters / "1.exchange").write_bytes(b"x")
    (found,) = wrong(check_spool(loaded))
    assert "1 calls were refused" in found.message
    assert str(letters) in found.fix


def test_a_clock_that_is_behind_is_found(loaded: Loaded) -> None:
    loaded.paths.state.mkdir(parents=True)
    file = loaded.paths.state / "later"
    file.touch()
    assert wrong(check_clock(loaded)) == []
    os.utime(file, (4e9, 4e9))
    (found,) = wrong(check_clock(loaded))
    assert "behind" in found.message


def test_an_authority_reaches_to_helis_own_host(loaded: Loaded) -> None:
    certificate_file(loaded.paths)
    (good,) = check_authority(loaded.paths)
    assert good.state is State.GOOD


def test_an_authority_that_is_too_old_for_some_hosts_is_found(loaded: Loaded) -> None:
    make_aged(loaded.paths, lacking=("api.openai.com",))
    (found,) = wrong(check_authority(loaded.paths))
    assert "before heli knew 1 host (api.openai.com)" in found.message
    assert found.fix == "heli ca rotate"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"NO_PROXY": "corp,api.openai.com"}, "NO_PROXY holds api.openai.com"),
        ({"no_proxy": "*"}, "NO_PROXY holds *"),
        ({"NODE_TLS_REJECT_UNAUTHORIZED": "0"}, "turns the check of certificates off"),
        ({"GIT_SSL_NO_VERIFY": "true"}, "turns the check of certificates off"),
        ({"OPENAI_BASE_URL": "https://u:p@llm.corp.example/v1?key=x"}, "https://llm.corp.example/v1, which"),
        ({"ANTHROPIC_BASE_URL": "http://localhost:9999"}, "on this machine"),
    ],
)
def test_a_trap_in_the_environment_is_found(environ: dict[str, str], told: str) -> None:
    (found,) = wrong(look_at_environment(environ, HOSTS, [8787], 8791))
    assert told in found.message


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NO_PROXY": "localhost,corp.example"},
        {"NODE_TLS_REJECT_UNAUTHORIZED": "1"},
        {"OPENAI_BASE_URL": "http://localhost:8787/v1"},
        {"OPENAI_BASE_URL": "https://api.openai.com/v1"},
        {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com"},
        {"OLLAMA_HOST": "nonsense:port:x"},
    ],
)
def test_what_is_no_trap_is_not_found(environ: dict[str, str]) -> None:
    assert wrong(look_at_environment(environ, HOSTS, [8787], 8791)) == []


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://corp:3128", "heli calls providers by it"),
        ("corp:3128", "heli calls providers by it"),
        ("https://corp", "heli calls providers by it"),
        ("socks5h://corp:1080", "a socks5h proxy, which heli does not speak to: it calls providers directly"),
    ],
)
def test_a_proxy_of_the_users_is_worth_a_note(url: str, what: str) -> None:
    (told,) = look_at_environment({"https_proxy": url}, HOSTS, [], 8791)
    assert (told.state, what in told.message) == (State.NOTE, True)


def test_the_exit_code_says_that_there_is_something_to_mend(loaded: Loaded, heli: Callable) -> None:
    told = heli("doctor")
    assert told.code == 7
    assert "heli is not running" in told.out
    assert "heli up -d" in told.out
    machine = heli("doctor", "--json")
    report = json.loads(machine.out)
    assert (machine.code, report["well"], report["runtimes"]) == (7, False, [])
    assert {"about", "state", "message", "fix"} == set(report["checks"][0])

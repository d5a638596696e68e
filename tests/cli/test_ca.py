"""`heli ca`: what it shows and changes, and that it asks before it touches the machine."""

import json
import subprocess
from pathlib import Path

import pytest

from heli.cli import trust_store
from heli.schema.errors import ExitCode
from heli.schema.paths import Paths
from tests.proxy.intercept.certificates import make_aged


def test_show_tells_what_it_may_sign_for(heli, home):
    told = json.loads(heli("ca", "show", "--json").out)

    assert told["file"] == str(home / "state" / "ca" / "ca.pem")
    assert "api.openai.com" in told["hosts"]
    assert told["allowed"] == []
    assert told["previous_sha256"] is None
    assert told["sha256"] in heli("ca", "show").out


def test_show_tells_of_hosts_that_it_is_too_old_for(heli, home):
    make_aged(Paths.from_environ({"HELI_HOME": str(home)}), lacking=("api.openai.com",))

    assert json.loads(heli("ca", "show", "--json").out)["unreached"] == ["api.openai.com"]
    told = " ".join(heli("ca", "show").out.split())
    assert (
        "before heli knew 1 host (api.openai.com), so calls there pass through unseen; `heli ca rotate`"
        in told
    )

    heli("ca", "rotate")
    assert json.loads(heli("ca", "show", "--json").out)["unreached"] == []


def test_export_writes_the_certificate_and_never_the_key(heli, home, tmp_path):
    out = heli("ca", "export").out
    heli("ca", "export", str(tmp_path / "ca.pem"))

    assert out == (tmp_path / "ca.pem").read_text() == (home / "state" / "ca" / "ca.pem").read_text()
    assert "PRIVATE" not in out


def test_export_says_what_is_wrong_with_the_file(heli, tmp_path):
    ran = heli("ca", "export", str(tmp_path / "no" / "such.pem"))

    assert ran.code == ExitCode.USAGE
    assert "cannot be written" in ran.err


def test_rotate_keeps_the_one_before_unless_told_otherwise(heli):
    first = json.loads(heli("ca", "show", "--json").out)["sha256"]

    assert "seven days" in heli("ca", "rotate").err
    second = json.loads(heli("ca", "show", "--json").out)
    heli("ca", "rotate", "--now")
    third = json.loads(heli("ca", "show", "--json").out)

    assert second["previous_sha256"] == first
    assert third["previous_sha256"] is None
    assert len({first, second["sha256"], third["sha256"]}) == 3


def test_allow_adds_a_host_and_takes_it_away(heli):
    ran = heli("ca", "allow", "llm.example.com")
    assert "must be started again" in ran.err
    assert "llm.example.com" in json.loads(heli("ca", "show", "--json").out)["hosts"]

    heli("ca", "allow", "--remove", "llm.example.com")
    assert "llm.example.com" not in json.loads(heli("ca", "show", "--json").out)["hosts"]


@pytest.mark.parametrize("host", ["llm.example.com", "api.openai.com"])
def test_allow_of_what_is_decrypted_already_changes_nothing(heli, host):
    heli("ca", "allow", "llm.example.com")
    before = heli("ca", "show", "--json").out

    ran = heli("ca", "allow", host)

    assert (ran.code, ran.err) == (ExitCode.OK, f"nothing is changed: {host} is decrypted already\n")
    assert heli("ca", "show", "--json").out == before


def test_allow_reaches_a_host_that_the_authority_is_too_old_for(heli, home):
    make_aged(Paths.from_environ({"HELI_HOME": str(home)}), lacking=("api.openai.com",))

    assert "made anew" in heli("ca", "allow", "api.openai.com").err
    told = json.loads(heli("ca", "show", "--json").out)
    assert (told["allowed"], told["unreached"]) == ([], [])


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("never.example.com", "`heli ca show` lists them"),
        ("api.openai.com", "heli knows it by itself, so it stays decrypted"),
    ],
)
def test_remove_of_what_was_not_allowed_changes_nothing(heli, host, hint):
    heli("ca", "allow", "llm.example.com")
    before = heli("ca", "show", "--json").out

    ran = heli("ca", "allow", "--remove", "llm.example.com", host)

    assert ran.code == ExitCode.NOT_FOUND
    assert f"{host} is not among the hosts that you allowed" in ran.err
    assert hint in ran.err
    assert heli("ca", "show", "--json").out == before


def test_allow_refuses_what_is_no_host(heli):
    ran = heli("ca", "allow", "https://x")

    assert ran.code == ExitCode.USAGE
    assert "is not a host name" in ran.err


def test_untrust_has_nothing_to_undo(heli):
    ran = heli("ca", "untrust")

    assert ran.code == ExitCode.OK
    assert "nothing to undo" in ran.err


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders and commands of a Debian, whose command writes down that it was called."""
    root, programs = tmp_path / "root", tmp_path / "bin"
    (root / "usr/local/share/ca-certificates").mkdir(parents=True)
    programs.mkdir()
    for name in ("update-ca-certificates", "sudo"):
        (programs / name).write_text(
            f'#!/bin/sh\necho "$0 $@" >> {tmp_path}/called\n[ "${{0##*/}}" = sudo ] && exec "$@" || exit 0\n'
        )
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return root


def test_trust_is_undone_by_untrust(debian: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_text("certificate")
    (store,) = trust_store.find_stores(debian, {"HOME": str(tmp_path)})
    placed = debian / "usr/local/share/ca-certificates/heli-local-authority.crt"

    for step in store.trust(certificate):
        subprocess.run(step, check=True)
    assert placed.read_text() == "certificate"
    for step in store.untrust():
        subprocess.run(step, check=True)

    assert not placed.exists()
    assert (tmp_path / "called").read_text().count("update-ca-certificates") >= 2


def test_a_machine_without_a_known_store_has_none(tmp_path: Path) -> None:
    assert trust_store.find_stores(tmp_path, {"HOME": str(tmp_path)}) == []

"""Why nothing was seen: the reason that is known of a program, and none that is made up."""

import sys
from pathlib import Path

import pytest

from heli.cli.runs.traps import explain_silence, node_reads_proxy

HOSTS = ("api.openai.com",)


def reasons(command: list[str], path: Path | None = None, **environ: str) -> list[str]:
    search = {"PATH": str(path)} if path else {}
    return explain_silence(command, {**search, **environ}, HOSTS, [8787])


def program(folder: Path, name: str, content: bytes) -> str:
    file = folder / name
    file.write_bytes(content)
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("version", "reads"),
    [
        ("v20.20.2", False),
        ("v22.20.9", False),
        ("v22.21.0", True),
        ("v23.11.0", False),
        ("v24.0.0", True),
        ("v26.1.0", True),
        ("", False),
        ("what", False),
    ],
)
def test_which_node_heeds_a_proxy(version: str, reads: bool) -> None:
    assert node_reads_proxy(version) is reads


def test_an_old_node_is_asked_for_its_version(tmp_path: Path) -> None:
    program(tmp_path, "node", b"#!/bin/sh\necho v18.0.0\n")
    program(tmp_path, "agent", b"#!/usr/bin/env node\n")
    for command in (["node", "x.js"], ["agent"]):
        (told,) = reasons(command, tmp_path)
        assert told.startswith("node v18.0.0 does not heed HTTPS_PROXY")
    program(tmp_path, "node", b"#!/bin/sh\necho v24.9.0\n")
    assert reasons(["agent"], tmp_path) == []


def test_a_node_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    program(tmp_path, "node", b"#!/bin/sh\nexec /bin/sleep 30\n")
    assert reasons(["node"], tmp_path) == []


def test_python_is_told_of_its_libraries() -> None:
    (told,) = reasons([sys.executable, "x.py"])
    assert "trust_env=True" in told


@pytest.mark.parametrize("name", ["docker", "ssh", "sudo"])
def test_what_leaves_the_environment_is_told(tmp_path: Path, name: str) -> None:
    program(tmp_path, name, b"#!/bin/sh\n")
    (told,) = reasons([name, "run"], tmp_path)
    assert told.startswith(f"{name}: ")


def test_roots_in_a_binary_are_found(tmp_path: Path) -> None:
    program(tmp_path, "tool", b"\x7fELF" + bytes(5000) + b"registry/src/webpki-roots-0.26.1/src" + bytes(99))
    (told,) = reasons(["tool"], tmp_path)
    assert "carry its own roots" in told


def test_a_go_program_is_a_trap_on_macos_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "tool", b"\x7fELF" + bytes(500) + b"\xff Go buildinf:" + bytes(99))
    monkeypatch.setattr(sys, "platform", "linux")
    assert reasons(["tool"], tmp_path) == []
    monkeypatch.setattr(sys, "platform", "darwin")
    (told,) = reasons(["tool"], tmp_path)
    assert "heli ca trust" in told


def test_nothing_is_made_up(tmp_path: Path) -> None:
    program(tmp_path, "tool", b"#!/bin/sh\n")
    program(tmp_path, "empty", b"")
    assert reasons(["tool"], tmp_path) == reasons(["empty"], tmp_path) == reasons(["gone"], tmp_path) == []
    assert reasons(["tool"], tmp_path, OPENAI_BASE_URL="http://127.0.0.1:8787/v1") == []

"""`heli env` in real shells: the kit comes, goes with a dead heli, comes back, and can be taken off."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from heli.cli.runs.before import BEFORE, changes_back, pack
from heli.cli.runs.shell_code import SHELLS, Guarded, write_off, write_on

ROOT = Path(__file__).parents[3]
KIT = {"HTTPS_PROXY": "http://run-1:x@127.0.0.1:1", "NO_PROXY": 'a\'b "c" $HOME `x` \\', "NEW": "1"}
OLD = {"HTTPS_PROXY": "http://corporate:3128", "NO_PROXY": "it's $mine"}
WHOLE = {**KIT, BEFORE: pack(KIT, OLD)}


class Port:
    """Somebody who listens, and may stop to."""

    def __init__(self) -> None:
        self.number = 0
        self.open()

    def open(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self.number))
        self._socket.listen(64)
        self.number = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port()
    yield port
    port.close()


class Shell:
    """A real shell that is fed line by line."""

    def __init__(self, words: list[str], folder: Path) -> None:
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), **OLD}
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environ, cwd=folder,
        )  # fmt: skip

    def run(self, code: str) -> str:
        """What it prints."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{code}\necho; echo ~end\n")
        self._process.stdin.flush()
        said = ""
        while not said.endswith("~end\n"):
            line = self._process.stdout.readline()
            assert line, f"the shell has ended: {said}"
            said += line
        return said.removesuffix("~end\n").strip("\n")

    def variables(self) -> dict[str, str]:
        names = [*KIT, BEFORE]
        show = f"import os, json; print(json.dumps({{n: os.environ.get(n) for n in {names!r}}}))"
        told = json.loads(self.run(f'{sys.executable} -c "{show}"'))
        return {name: value for name, value in told.items() if value is not None}

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Shell]]:
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}")
    words = {"bash": ["bash", "--norc"], "zsh": ["zsh", "-f"], "fish": ["fish", "--no-config"]}[name]
    opened = Shell(words, tmp_path)
    yield name, opened
    opened.close()


def guarded(port: Port, is_on: bool = True) -> Guarded:
    before = {name: OLD.get(name) for name in WHOLE}
    return Guarded(kit=WHOLE, before=before, host="127.0.0.1", port=port.number, is_on=is_on)


def test_the_guard_follows_heli(shell: tuple[str, Shell], port: Port) -> None:
    name, opened = shell
    opened.run(write_on(name, guarded(port)))
    assert opened.variables() == WHOLE

    port.close()
    opened.run("_heli_guard")
    assert opened.variables() == OLD

    opened.run("_heli_guard")
    assert opened.variables() == OLD
    port.open()
    opened.run("_heli_guard")
    assert opened.variables() == WHOLE


def test_what_was_put_on_can_be_taken_off(shell: tuple[str, Shell], port: Port) -> None:
    name, opened = shell
    opened.run(write_on(name, guarded(port)))
    opened.run(write_off(name, changes_back(WHOLE)))
    assert opened.variables() == OLD


def test_a_shell_that_begins_without_heli_is_captured_later(shell: tuple[str, Shell], port: Port) -> None:
    name, opened = shell
    opened.run(write_on(name, guarded(port, is_on=False)))
    assert opened.variables() == OLD
    opened.run("_heli_guard")
    assert opened.variables() == WHOLE


def test_the_guard_keeps_the_code_of_the_last_command_and_the_users_hook(tmp_path: Path, port: Port) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    opened = Shell(["bash", "--norc"], tmp_path)
    opened.run("PROMPT_COMMAND='mine'")
    opened.run(write_on("bash", guarded(port)))
    opened.run(write_on("bash", guarded(port)))
    assert opened.run('echo "$PROMPT_COMMAND"') == "_heli_guard; mine"
    assert opened.run("(exit 7); _heli_guard; echo $?") == "7"
    opened.run(write_off("bash", changes_back(WHOLE)))
    assert opened.run('echo "$PROMPT_COMMAND"') == "mine"
    opened.close()


def test_powershell_gets_its_own_words(port: Port) -> None:
    code = write_on("powershell", guarded(port))
    assert "$Env:NO_PROXY = 'a''b \"c\" $HOME `x` \\'" in code
    assert "Remove-Item -ErrorAction Ignore Env:NEW" in code
    assert "global:prompt" in write_off("powershell", {}) or "prompt" in write_off("powershell", {})


def test_plain_shells_get_the_variables_alone(port: Port) -> None:
    assert "_heli" not in write_on("sh", guarded(port))
    assert write_on("sh", guarded(port, is_on=False)) == ""
    assert set(SHELLS) == {"bash", "zsh", "fish", "powershell", "sh"}


def test_heli_env_tells_what_to_do_when_it_does_not_run(
    heli: Callable, free_ports: Callable, monkeypatch
) -> None:
    monkeypatch.setenv("HELI_PORTS__INTERCEPT", str(free_ports(1)[0]))
    told = heli("env", "--shell", "bash")
    assert told.code == 0
    assert "heli up" in told.err
    assert told.out.rstrip().endswith("esac")
    assert "\n_heli_off\n" in told.out
    refused = heli("env", "--shell", "sh")
    assert (refused.code, refused.out) == (6, "")
    assert heli("env", "--shell", "csh").code == 2


class _Well(BaseHTTPRequestHandler):
    """Answers as an interceptor that is well."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def well() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_heli_env_prints_json(heli: Callable, well: int, monkeypatch, home: Path) -> None:
    monkeypatch.setenv("HELI_PORTS__INTERCEPT", str(well))
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", "/mine.pem")
    kit = json.loads(heli("env", "--json", "--session", "mine").out)
    assert kit["HELI_SESSION"] == "mine"
    assert kit["HTTPS_PROXY"].endswith(f"@127.0.0.1:{well}")
    assert (home / "state" / "runs" / f"{kit['HELI_RUN_ID']}.json").exists()
    assert BEFORE in kit


def test_heli_env_puts_back_and_takes_its_guard_away(heli: Callable, monkeypatch) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    assert json.loads(heli("env", "--unset", "--json").out) == {**OLD, "NEW": None, BEFORE: None}
    assert "export HTTPS_PROXY=http://corporate:3128" in heli("env", "--unset", "--shell", "bash").out


def test_heli_env_takes_the_guard_away_while_heli_does_not_answer(
    heli: Callable, shell: tuple[str, Shell], port: Port
) -> None:
    name, opened = shell
    opened.run(write_on(name, guarded(port, is_on=False)))
    told = heli("env", "--unset", "--shell", name)
    assert told.err == "heli: no variable to put back\n"
    opened.run(told.out)
    opened.run("_heli_guard 2>/dev/null")
    assert opened.variables() == OLD

"""The status line: what it shows, and that it neither waits nor complains."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from heli.cli.quick_backend import Address, NoAnswerError, ask, find_backend
from heli.schema.settings import load_settings

SPEND = {
    "requests": 3,
    "cost_usd": 1.84,
    "unknown_cost_requests": 0,
    "input_tokens": 1298,
    "cache_read_tokens": 46912,
    "cache_write_tokens": None,
    "output_tokens": 800,
    "reasoning_tokens": 11,
}
NONE = dict.fromkeys(SPEND) | {"requests": 0}


class Backend(ThreadingHTTPServer):
    """Answers as the backend does. `known` are the sessions with calls."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.known = {"fix"}
        self.flying = {"fix", "new"}
        self.estimated = 0
        self.asked: list[list[str]] = []
        self.delay_s = 0.0
        Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Backend

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        sessions = parse_qs(parts.query).get("session", [])
        self.server.asked.append(sessions)
        time.sleep(self.server.delay_s)
        estimated = {"estimated_cost_requests": self.server.estimated}
        lines = [
            {
                "session_id": name,
                "in_flight": int(name in self.server.flying),
                "spend": SPEND | estimated if name in self.server.known else NONE,
            }
            for name in sessions
        ]
        if parts.path != "/v1/statusline":
            self.send_error(404)
            return
        told = {
            "in_flight": 2,
            "today_cost_usd": 4.21,
            "today_estimated_cost_requests": self.server.estimated,
        }
        body = json.dumps(told | {"sessions": lines}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    server = Backend()
    monkeypatch.setenv("HELI_PORTS__BACKEND", str(server.server_address[1]))
    yield server
    server.shutdown()
    server.server_close()


def statusline(*words: str, stdin: str | int = subprocess.DEVNULL) -> "subprocess.CompletedProcess[str]":
    given = {"input": stdin} if isinstance(stdin, str) else {"stdin": stdin}
    return subprocess.run(
        [sys.executable, "-m", "heli", "statusline", *words],
        capture_output=True, text=True, timeout=30, check=False, **given,
    )  # fmt: skip


def test_today_and_what_is_in_flight(backend: Backend) -> None:
    told = statusline()
    assert (told.returncode, told.stdout, told.stderr) == (0, "$4.21 today · 2 in flight\n", "")


def test_a_session_that_is_named(backend: Backend) -> None:
    assert statusline("--session", "fix").stdout == "$1.84 session · $4.21 today · 2 in flight\n"
    assert backend.asked == [["fix"]]


def test_a_session_whose_first_call_is_in_flight_has_cost_nothing(backend: Backend) -> None:
    assert statusline("--session=new").stdout.startswith("$0 session")


def test_what_a_session_that_nobody_knows_has_cost_is_unknown(backend: Backend) -> None:
    assert statusline("--session=nosuch").stdout == "? session · $4.21 today · 2 in flight\n"


def test_sums_with_estimates_are_marked(backend: Backend) -> None:
    backend.estimated = 1
    assert statusline("--session", "fix").stdout == "~$1.84 session · ~$4.21 today · 2 in flight\n"


def test_a_format_of_ones_own(backend: Backend) -> None:
    wish = "{today} {session} {in_flight} {session_in_flight} {calls} {input_tokens} {output_tokens}"
    assert statusline("--session", "fix", "--format", wish).stdout == "$4.21 $1.84 2 1 3 48,210 811\n"


def test_a_format_that_cannot_be_is_told(backend: Backend) -> None:
    told = statusline("--format", "{tokens}")
    assert told.returncode == 2
    assert "{input_tokens}" in told.stderr


def test_an_agent_tells_its_session_on_standard_input(backend: Backend) -> None:
    asked = json.dumps({"session_id": "fix", "model": {"display_name": "Opus"}})
    assert statusline(stdin=asked).stdout.startswith("$1.84 session")
    assert statusline(stdin="not json").stdout.startswith("$4.21 today")


def test_the_session_with_calls_counts_when_there_are_two(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELI_SESSION", "fix")
    assert statusline(stdin=json.dumps({"session_id": "agents-own"})).stdout.startswith("$1.84")
    assert backend.asked == [["fix", "agents-own"]]


def test_an_idle_pipe_is_not_waited_for(backend: Backend) -> None:
    reading, writing = os.pipe()
    began = time.monotonic()
    assert statusline(stdin=reading).returncode == 0
    assert time.monotonic() - began < 5
    os.close(reading)
    os.close(writing)


def test_a_file_on_standard_input_is_left_alone(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text('{"session_id": "fix"}\nsecond\n')
    with (tmp_path / "lines").open() as stream:
        assert statusline(stdin=stream.fileno()).stdout.startswith("$4.21 today")
        assert os.lseek(stream.fileno(), 0, os.SEEK_CUR) == 0


@pytest.mark.parametrize("state", ["nobody", "silent", "slow", "strange"])
def test_a_heli_that_does_not_answer_is_no_error(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, free_ports: Callable[[int], list[int]], state: str
) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    if state == "slow":
        backend.delay_s = 5
    elif state == "strange":
        monkeypatch.setenv("HELI_BACKEND__URL", f"http://127.0.0.1:{backend.server_address[1]}/elsewhere")
    else:
        port = silent.getsockname()[1] if state == "silent" else free_ports(1)[0]
        monkeypatch.setenv("HELI_PORTS__BACKEND", str(port))
    told, marked = statusline(), statusline("--when-down", "heli down")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    assert (marked.returncode, marked.stdout) == (0, "heli down\n")
    silent.close()


def test_it_loads_little(backend: Backend) -> None:
    show = "import sys; from heli.cli.main import run; run(['statusline']); print(*sys.modules, sep='\\n')"
    told = subprocess.run(
        [sys.executable, "-c", show], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    loaded = set(told.stdout.splitlines())
    assert "heli.cli.statusline" in loaded
    assert not {"typer", "msgspec", "httpx", "asyncio", "typing_extensions", "platformdirs"} & loaded


def test_help_is_typers(backend: Backend) -> None:
    assert "--when-down" in statusline("--help").stdout


@pytest.mark.parametrize(
    ("variables", "files"),
    [
        ({}, {}),
        ({"HELI_PORTS__BACKEND": "1234"}, {}),
        ({"HELI_BACKEND__URL": "http://other:99"}, {"config.toml": "[ports]\nbackend = 7"}),
        ({}, {"config.toml": "[ports]\nbackend = 7"}),
        ({}, {"config.toml": "[ports]\nbackend = 7", "heli.toml": "[ports]\nbackend = 8"}),
        ({}, {"config.toml": '[backend]\nurl = "http://there:80"'}),
    ],
)
def test_the_backend_is_where_the_settings_say(
    tmp_path: Path, variables: dict[str, str], files: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    environ = {"HELI_HOME": str(tmp_path), **variables}
    address = find_backend(environ, str(tmp_path))
    assert f"http://{address.host}:{address.port}" == load_settings(environ, tmp_path).settings.backend_url


def test_the_configuration_file_is_where_the_platform_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from heli.cli.quick_backend import _config_file
    from heli.schema.paths import Paths

    monkeypatch.delenv("HELI_HOME")
    for environ in ({}, {"XDG_CONFIG_HOME": "/elsewhere"}):
        for name in ("XDG_CONFIG_HOME",):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert _config_file(os.environ) == str(Paths.from_environ(os.environ).config_file)


def test_digits_of_money_are_kept(backend: Backend) -> None:
    from decimal import Decimal

    address = Address("127.0.0.1", backend.server_address[1])
    assert ask(address, "/v1/statusline", 5.0)["today_cost_usd"] == Decimal("4.21")
    with pytest.raises(NoAnswerError, match="404"):
        ask(address, "/other", 5.0)

"""What `heli status` says of the interceptor: what was left alone, and why."""

import http.server
import io
import json
import threading
from contextlib import contextmanager

from heli.cli.intercept_status import InterceptStatus, Refusal, Tunnels, lines_of, look_at_interceptor
from heli.cli.supervisor.events import AllReady
from heli.cli.up_screen import Screen
from heli.schema.settings import load_settings


def a_status(**fields):
    wanted = {
        "gateway_is_up": True,
        "handed_over": 1234,
        "sent_directly": 0,
        "refusals": [],
        "tunnels": {},
        "tunnelled": Tunnels(connections=7, bytes_up=1000, bytes_down=2072),
    }
    return InterceptStatus(**wanted | fields)


def test_numbers_are_told_in_one_line():
    assert lines_of(a_status()) == ["intercepted 1,234 · left unread 7 connections (3.0 KiB)"]


def test_calls_past_the_gateway_are_told():
    assert "past the gateway 3, not recorded" in lines_of(a_status(sent_directly=3))[0]


def test_what_could_be_recorded_and_is_not_is_told_once_with_the_reason():
    lines = lines_of(
        a_status(
            refusals=[Refusal("api.openai.com", "run-1234", "unknown ca")],
            tunnels={
                "api.openai.com": Tunnels(reason="the program refuses heli's certificate"),
                "my.openai.azure.com": Tunnels(reason="it is at a private address"),
                "github.com": Tunnels(connections=3),
            },
        )
    )

    assert lines[1:] == [
        "  api.openai.com is not recorded: a program of run-1234 refuses heli's certificate (unknown ca)",
        "  my.openai.azure.com is not recorded: it is at a private address",
    ]


def test_an_authority_that_is_too_old_for_some_hosts_is_told():
    lines = lines_of(a_status(unreached=["a.example", "b.example", "c.example", "d.example"]))

    assert lines[1] == (
        "  the authority: it was made before heli knew 4 hosts (a.example, b.example, c.example …),"
        " so calls there pass through unseen; `heli ca rotate` replaces it"
    )


@contextmanager
def an_interceptor(home, **told):
    """One that answers once; gives the settings that lead to it and what it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["authorization"]))
            known = {"gateway_is_up": True, "handed_over": 5, "sent_directly": 0, "tunnelled": {}}
            body = json.dumps(known | {"refusals": [], "tunnels": {}} | told).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        port = str(server.server_address[1])
        loaded = load_settings({"HELI_HOME": str(home), "HELI_PORTS__INTERCEPT": port}, home)
        loaded.paths.state.mkdir()
        loaded.paths.intercept_secret.write_text("s3cret\n")
        yield loaded, asked
        thread.join()


def test_an_interceptor_is_asked_with_the_owners_secret(tmp_path):
    with an_interceptor(tmp_path) as (loaded, asked):
        seen = look_at_interceptor(loaded.settings, loaded.paths)

    assert seen is not None
    assert seen.handed_over == 5
    assert asked == [("/status", "Bearer s3cret")]


def test_heli_up_tells_of_an_authority_that_is_too_old(tmp_path):
    out = io.StringIO()
    with an_interceptor(tmp_path, unreached=["a.example"]) as (loaded, _):
        Screen([], loaded.settings, loaded.paths, out)(AllReady(1.0))

    assert out.getvalue().endswith(
        "\nthe authority: it was made before heli knew 1 host (a.example),"
        " so calls there pass through unseen; `heli ca rotate` replaces it\n"
    )


def test_none_is_told_when_none_answers(tmp_path, free_ports):
    port = str(free_ports(1)[0])
    loaded = load_settings({"HELI_HOME": str(tmp_path), "HELI_PORTS__INTERCEPT": port}, tmp_path)

    assert look_at_interceptor(loaded.settings, loaded.paths) is None

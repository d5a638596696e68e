"""What `heli status` says of the interceptor: what was left alone, and why."""

import http.server
import json
import threading

from heli.cli.intercept_status import InterceptStatus, Refusal, Tunnels, lines_of, look_at_interceptor
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


def test_an_interceptor_is_asked_with_the_owners_secret(tmp_path):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["authorization"]))
            told = {"gateway_is_up": True, "handed_over": 5, "sent_directly": 0, "tunnelled": {}}
            body = json.dumps(told | {"refusals": [], "tunnels": {}}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        port = str(server.server_address[1])
        loaded = load_settings({"HELI_HOME": str(tmp_path), "HELI_PORTS__INTERCEPT": port}, tmp_path)
        loaded.paths.state.mkdir()
        loaded.paths.intercept_secret.write_text("s3cret\n")
        seen = look_at_interceptor(loaded)
        thread.join()

    assert seen is not None
    assert seen.handed_over == 5
    assert asked == [("/status", "Bearer s3cret")]


def test_none_is_told_when_none_answers(tmp_path, free_ports):
    port = str(free_ports(1)[0])
    loaded = load_settings({"HELI_HOME": str(tmp_path), "HELI_PORTS__INTERCEPT": port}, tmp_path)

    assert look_at_interceptor(loaded) is None

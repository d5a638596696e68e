"""What mitmproxy makes of unusual replies and requests: the program gets its reply, a break stays a break."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from heli.schema.exchange import Outcome
from tests.proxy.intercept.rig import Rig
from tests.proxy.intercept.test_clients import CALL, recorded
from tests.rel import probe
from tests.standin import StandIn

URL = "https://api.openai.com/v1/chat/completions"


def call(rig: Rig, **scenario: Any) -> str:
    return rig.curl("--max-time", "8", URL, "-H", f"x-standin: {json.dumps(scenario)}", "--json", CALL)


@pytest.mark.parametrize(
    "scenario",
    [
        {"informational": [103]},
        {"informational": [103, 103]},
        {"framing": "chunked", "trailers": [["x-checksum", "1"]]},
        {"framing": "close"},
        {"framing": "http10"},
        {"encoding": "gzip"},
    ],
    ids=str,
)
def test_unusual_replies_arrive_whole(rig: Rig, scenario: dict[str, Any]) -> None:
    told = call(rig, **scenario) if "encoding" not in scenario else _decoded(rig, scenario)

    assert json.loads(told)["choices"][0]["message"]["content"] == "You said: hi"


def _decoded(rig: Rig, scenario: dict[str, Any]) -> str:
    return rig.curl("--compressed", URL, "-H", f"x-standin: {json.dumps(scenario)}", "--json", CALL)


@pytest.mark.parametrize("drop", ["mid_head", "mid_body", "mid_sse"])
def test_a_break_looks_like_a_break(rig: Rig, drop: str) -> None:
    stream = json.dumps({**json.loads(CALL), "stream": drop == "mid_sse"})
    header = f"x-standin: {json.dumps({'drop': drop})}"
    arguments = [URL, "-H", header, "--json", stream, "-f"]

    with pytest.raises(RuntimeError, match=r"exit code (18|22|52|56)"):
        rig.curl(*arguments)


def test_a_break_of_a_reply_without_a_length_looks_like_a_break(rig: Rig) -> None:
    """Such a reply ends with its connection: only a reset tells that it is not whole."""
    header = f"x-standin: {json.dumps({'framing': 'close', 'drop': 'mid_body'})}"

    with pytest.raises(RuntimeError, match=r"exit code 56"):
        rig.curl(URL, "-H", header, "--json", CALL)


def test_a_request_with_chunks_and_trailers_is_sent_whole(rig: Rig) -> None:
    with rig.connect("api.openai.com") as secure:
        secure.sendall(
            b"POST /v1/echo HTTP/1.1\r\nHost: api.openai.com\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n3\r\ndef\r\n0\r\nx-checksum: 1\r\n\r\n"
        )
        data = b""
        while b'"body_bytes":6' not in data:
            piece = secure.recv(65536)
            assert piece, data
            data += piece


def test_a_program_that_leaves_has_its_call_cancelled(rig: Rig, standin: StandIn) -> None:
    scenario = {"chunks": 500, "interval_ms": 20, "text": "word " * 500}
    body = json.dumps({**json.loads(CALL), "stream": True}).encode()
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: api.openai.com", "x-case: leaves"]
    lines += [f"x-standin: {json.dumps(scenario)}", f"Content-Length: {len(body)}"]
    secure = rig.connect("api.openai.com")
    secure.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    assert secure.recv(65536)

    left_at = time.time()
    secure.close()

    (entry,) = standin.wait_for(
        lambda each: [found for found in each.journal("x-case: leaves") if found["peer_left_at"]]
    )
    assert entry["peer_left_at"] - left_at < 2
    assert recorded(rig, "leaves").outcome is Outcome.CLIENT_ABORTED


def test_big_bodies_pass_in_constant_memory(rig: Rig, tmp_path: Path) -> None:
    size = 64 << 20
    big = tmp_path / "big"
    with big.open("wb") as stream:
        for _ in range(64):
            stream.write(os.urandom(1 << 20))
    pid = rig.heli.pid("intercept")
    before = probe.forget_peak(pid)

    header = f"x-standin: {json.dumps({'body_bytes': size})}"
    form = "%{http_code} %{size_upload} %{size_download}"
    told = rig.curl(
        "https://api.openai.com/v1/echo", "-H", header, "-T", str(big), "-o", "/dev/null", "-w", form
    )

    assert told == f"200 {size} {size}"
    assert probe.read(pid).peak_bytes - before < 16 * probe.MIB

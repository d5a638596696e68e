"""No secret of a call reaches a disk by way of the interceptor, whatever becomes of the call."""

from pathlib import Path

from tests.proxy.intercept.rig import Rig, running
from tests.rel.heli_under_test import wait_until
from tests.standin import StandIn

CALL_HEAD = (
    "POST /v1/chat/completions?key={} HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer {}\r\n"
)


def test_secrets_of_good_bad_and_broken_calls_are_nowhere(standin: StandIn, tmp_path: Path) -> None:
    with running(tmp_path / "heli", standin.url, HELI_LOG_LEVEL="debug") as rig:
        rig.a_run("run-secret01")
        for number, end in enumerate(
            ("Content-Length: 2\r\n\r\n{}", "Content-Length: x\r\n\r\n", "bro", "\x01\r\n\r\n")
        ):
            _say(rig, CALL_HEAD.format(f"canary-q{number}", f"canary-h{number}") + end)
        wait_until(rig.sink.all, 10, "the good call")
        rig.heli.kill("gateway")
        wait_until(lambda: rig.metric("gateway_up") == 0, 5, "the interceptor to notice")
        _say(rig, CALL_HEAD.format("canary-q8", "canary-h8") + "Content-Length: 2\r\n\r\n{}")
        assert standin.journal("canary-h8"), "the call past the gateway did not arrive"
        files = [file for file in (tmp_path / "heli").rglob("*") if file.is_file()]
        found = [file for file in files if b"canary" in file.read_bytes()]

    assert (tmp_path / "heli" / "intercept.log") in files
    assert found == []
    assert "canary" not in repr(rig.sink.all())


def _say(rig: Rig, text: str) -> None:
    with rig.connect("api.openai.com", run="run-secret01") as secure:
        secure.sendall(text.encode("latin-1"))
        secure.settimeout(1)
        try:
            secure.recv(65536)
        except OSError:
            return

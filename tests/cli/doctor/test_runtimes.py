"""What the doctor makes of what runtimes say."""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heli.cli.doctor import runtimes
from heli.cli.doctor.runtimes import Probe, Tried, find_probes, find_pythons


@pytest.fixture
def tried(tmp_path: Path) -> Callable[..., Tried]:
    """What becomes of a runtime that prints this, complains of that and ends so."""

    def tried(said: str = "", complaint: str = "", code: int = 0, runtime: str = "ruby 3") -> Tried:
        code_text = f"import sys; print({said!r}); sys.stderr.write({complaint!r}); sys.exit({code})"
        command = [sys.executable, "-c", code_text]
        probe = Probe(runtime=runtime, library="x", command=command, place="/bin/x")
        return runtimes._try(probe, os.environ)

    return tried


def test_events_one_by_one_are_well(tried: Callable[..., Tried]) -> None:
    assert tried('{"arrivals": [10, 60, 110, 160, 210]}').is_good


def test_events_all_at_once_are_a_buffer(tried: Callable[..., Tried]) -> None:
    found = tried('{"arrivals": [210, 210, 211, 211, 212]}')
    assert (found.uses_proxy, found.accepts_authority, found.streams) == (True, True, False)
    assert "all at once" in found.trouble
    assert found.fix


@pytest.mark.parametrize("said", ['{"arrivals": [1, 2]}', "what", "", '{"arrivals": 3}', "[]"])
def test_a_reply_that_is_not_whole_is_not_well(tried: Callable[..., Tried], said: str) -> None:
    found = tried(said)
    assert not found.is_good
    assert found.fix


@pytest.mark.parametrize(
    "complaint",
    [
        "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        "Error: unable to get local issuer certificate",
        "javax.net.ssl.SSLHandshakeException: PKIX path building failed",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "curl: (60) SSL certificate problem: unable to get local issuer certificate",
    ],
)
def test_a_certificate_that_is_refused_is_told_as_that(tried: Callable[..., Tried], complaint: str) -> None:
    found = tried(complaint=complaint, code=1)
    assert (found.uses_proxy, found.accepts_authority) == (True, False)


@pytest.mark.parametrize(
    "complaint",
    [
        "Error: getaddrinfo ENOTFOUND doctor.heli.invalid",
        "curl: (6) Could not resolve host: doctor.heli.invalid",
        "urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>",
        "dial tcp: lookup doctor.heli.invalid: no such host",
        "java.nio.channels.UnresolvedAddressException",
    ],
)
def test_a_name_that_is_looked_up_means_that_no_proxy_was_asked(
    tried: Callable[..., Tried], complaint: str
) -> None:
    found = tried(complaint=complaint, code=1)
    assert (found.uses_proxy, found.accepts_authority) == (False, None)
    assert "base URL" in found.fix


def test_an_old_node_is_told_as_that(tried: Callable[..., Tried]) -> None:
    found = tried(complaint="ENOTFOUND", code=1, runtime="node v20.20.2")
    assert found.uses_proxy is False
    assert "22.21" in found.trouble
    new = tried(complaint="Error: CERT_HAS_EXPIRED", code=1, runtime="node v24.9.0")
    assert new.accepts_authority is False


def test_a_runtime_that_hangs_or_cannot_start_is_no_hang_of_ours() -> None:
    hangs = Probe(runtime="x", library="", command=[sys.executable, "-c", "input()"], place="x", seconds=0.2)
    missing = Probe(runtime="x", library="", command=["/no/such/file"], place="/no/such/file")
    reading, writing = os.pipe()
    assert not runtimes._try(missing, os.environ).is_good
    os.close(reading)
    os.close(writing)
    found = runtimes._try(hangs, os.environ)
    assert not found.is_good
    assert found.trouble


def test_what_is_on_the_path_is_tried(tmp_path: Path) -> None:
    for name in ("node", "curl", "go"):
        file = tmp_path / name
        file.write_text("#!/bin/sh\necho v24.9.0\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "work").mkdir()
    found = {
        (probe.runtime, probe.library) for probe in find_probes(tmp_path / "work", {"PATH": str(tmp_path)})
    }
    assert {("node v24.9.0", "fetch"), ("node v24.9.0", "https"), ("curl", ""), ("go", "net/http")} <= found
    assert any(runtime.startswith("python 3") and library == "urllib" for runtime, library in found)


def test_each_python_is_tried_once(tmp_path: Path) -> None:
    here = str(Path(sys.executable).parent)
    assert find_pythons({"PATH": here, "VIRTUAL_ENV": str(Path(here).parent)}) == [sys.executable]
    (tmp_path / "python3").symlink_to(sys.executable)
    assert find_pythons({"PATH": str(tmp_path)}) == [sys.executable, str(tmp_path / "python3")]

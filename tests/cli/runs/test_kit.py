"""The kit: each variable, and what becomes of what the user had set."""

import shutil
import subprocess
from pathlib import Path

import pytest

from heli.cli.runs.java_store import PASSWORD, make_java_store
from heli.cli.runs.kit import JAVA, Capture, Java, hides_any, make_kit
from heli.proxy.intercept.authority import certificate_file
from heli.proxy.intercept.bundle import make_bundle
from heli.schema.paths import Paths
from heli.schema.root_variables import ADDING, REPLACING

HOSTS = ("api.openai.com", "*.openai.azure.com")
URL = "http://run-abc123:x@127.0.0.1:8791"


def a_capture(**fields: object) -> Capture:
    known = {
        "proxy_host": "127.0.0.1",
        "proxy_port": 8791,
        "run_id": "run-abc123",
        "session_id": "fix-login",
        "bundle": Path("/h/bundle.pem"),
        "authority": Path("/h/ca.pem"),
        "hosts": HOSTS,
    }
    return Capture(**known | fields)  # type: ignore[arg-type]


def exceptions(**environ: str) -> str:
    kit = make_kit(environ, a_capture())
    assert kit["NO_PROXY"] == kit["no_proxy"]
    return kit["NO_PROXY"]


def test_proxies_are_set_in_both_cases_with_scheme_and_run() -> None:
    kit = make_kit({"https_proxy": "http://corporate:3128"}, a_capture())
    assert {kit[name] for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")} == {URL}


def test_an_ipv6_proxy_is_bracketed() -> None:
    assert a_capture(proxy_host="::1").proxy_url == "http://run-abc123:x@[::1]:8791"


def test_this_machine_is_never_proxied() -> None:
    assert exceptions() == "localhost,127.0.0.1,::1,.local"


def test_the_users_exceptions_stay_however_they_are_separated() -> None:
    told = exceptions(NO_PROXY="corp.example, 10.0.0.0/8 localhost", no_proxy="other.example")
    assert told == "corp.example,10.0.0.0/8,localhost,other.example,127.0.0.1,::1,.local"


def test_an_exception_that_hides_a_model_is_left_out() -> None:
    told = exceptions(NO_PROXY="*,api.openai.com,.openai.com,mine.openai.azure.com:443,com,corp.example")
    assert told == "corp.example,localhost,127.0.0.1,::1,.local"


@pytest.mark.parametrize("word", ["penai.com", "api.openai.com.evil", "127.0.0.1", "10.0.0.0/8", "."])
def test_other_exceptions_hide_nothing(word: str) -> None:
    assert not hides_any(word, HOSTS)


def test_files_that_replace_the_roots_hold_all_of_them() -> None:
    kit = make_kit(dict.fromkeys(REPLACING, "/mine.pem"), a_capture())
    assert {kit[name] for name in REPLACING} == {"/h/bundle.pem"}


def test_files_that_add_to_the_roots_hold_the_users_too_where_there_are_any() -> None:
    assert {make_kit({}, a_capture())[name] for name in ADDING} == {"/h/ca.pem"}
    kit = make_kit({"NODE_EXTRA_CA_CERTS": "/mine.pem"}, a_capture())
    assert (kit["NODE_EXTRA_CA_CERTS"], kit["DENO_CERT"]) == ("/h/bundle.pem", "/h/ca.pem")


def test_switches_and_names() -> None:
    kit = make_kit({"DENO_TLS_CA_STORE": "mozilla"}, a_capture())
    assert (kit["NODE_USE_ENV_PROXY"], kit["AIOHTTP_TRUST_ENV"], kit["UV_NATIVE_TLS"]) == (
        "1",
        "True",
        "true",
    )
    assert kit["DENO_TLS_CA_STORE"] == "mozilla"
    assert make_kit({}, a_capture())["DENO_TLS_CA_STORE"] == "system,mozilla"
    assert (kit["HELI_SESSION"], kit["HELI_RUN_ID"]) == ("fix-login", "run-abc123")


def test_nothing_turns_verification_off() -> None:
    kit = make_kit({}, a_capture())
    assert not {"NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONHTTPSVERIFY", "GIT_SSL_NO_VERIFY"} & set(kit)


def test_java_is_left_alone_unless_it_is_asked_for() -> None:
    assert JAVA not in make_kit({JAVA: "-Xmx1g"}, a_capture())


def test_javas_options_are_added_once_to_the_users() -> None:
    capture = a_capture(java=Java(store=Path("/a b/roots.p12"), password="changeit"))
    once = make_kit({JAVA: "-Xmx1g"}, capture)
    twice = make_kit(once, capture)
    assert once[JAVA].startswith("-Xmx1g -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8791 ")
    assert '"-Djavax.net.ssl.trustStore=/a b/roots.p12"' in once[JAVA]
    assert twice[JAVA] == once[JAVA]


def test_a_kit_over_a_kit_is_the_same_but_for_the_run(tmp_path: Path) -> None:
    paths = Paths.from_environ({"HELI_HOME": str(tmp_path)})
    bundle = make_bundle(paths, {})
    outer = make_kit({}, a_capture(bundle=bundle))
    again = make_bundle(paths, outer)
    inner = make_kit(outer, a_capture(bundle=again, run_id="run-inner1"))
    assert again.read_bytes() == bundle.read_bytes()
    assert inner["NO_PROXY"] == outer["NO_PROXY"]
    assert inner["HTTPS_PROXY"] == "http://run-inner1:x@127.0.0.1:8791"


def test_java_reads_the_store(tmp_path: Path) -> None:
    keytool = shutil.which("keytool")
    if keytool is None:
        pytest.skip("needs Java's keytool")
    paths = Paths.from_environ({"HELI_HOME": str(tmp_path)})
    bundle = make_bundle(paths, {})
    java = make_java_store(bundle)
    told = subprocess.run(
        [keytool, "-list", "-keystore", java.store, "-storepass", PASSWORD],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    roots = bundle.read_text().count("BEGIN CERTIFICATE")
    assert told.count("trustedCertEntry") == roots
    assert certificate_file(paths).read_text() in bundle.read_text()
    assert make_java_store(bundle) == java

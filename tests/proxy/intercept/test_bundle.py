"""The combined bundle: everything that was trusted before, and heli's own authority."""

import os
import re
import ssl
from pathlib import Path

import pytest

from heli.proxy.intercept.authority import current, rotate
from heli.proxy.intercept.bundle import make_bundle, make_upstream_roots, refresh_bundles
from heli.schema.paths import Paths

BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.from_environ({"HELI_HOME": str(tmp_path / "home")})


@pytest.fixture
def corporate(tmp_path: Path) -> Path:
    """A root file that the environment names: with a text before the certificate, and a key that is no one's
    business."""
    other = Paths.from_environ({"HELI_HOME": str(tmp_path / "other")})
    file = tmp_path / "corporate.pem"
    pem = current(other).pem.decode()
    file.write_text(
        f"# the company's own\n{pem}\n-----BEGIN PRIVATE KEY-----\nMEE=\n-----END PRIVATE KEY-----\n"
    )
    return file


def test_holds_the_system_the_environment_and_heli_each_once(paths: Paths, corporate: Path) -> None:
    environ = {"SSL_CERT_FILE": str(corporate), "NODE_EXTRA_CA_CERTS": str(corporate)}
    text = make_bundle(paths, environ).read_text()

    blocks = BLOCK.findall(text)
    assert "".join(blocks) == text, "certificate blocks only"
    assert len(set(blocks)) == len(blocks)
    assert text.count(current(paths).pem.decode()) == 1
    assert BLOCK.findall(corporate.read_text())[0] in blocks
    assert len(ssl.create_default_context(cadata=text).get_ca_certs()) > 2


def test_is_rebuilt_when_a_named_file_changes_and_stays_where_it_is(paths: Paths, corporate: Path) -> None:
    before = make_bundle(paths, {"SSL_CERT_FILE": str(corporate)})
    corporate.write_text("")
    count = len(BLOCK.findall(before.read_text()))

    after = make_bundle(paths, {"SSL_CERT_FILE": str(corporate)})

    assert after == before
    assert len(BLOCK.findall(after.read_text())) == count - 1


def test_a_bundle_made_under_a_bundle_keeps_what_was_named_first(paths: Paths, corporate: Path) -> None:
    outer = make_bundle(paths, {"SSL_CERT_FILE": str(corporate)})

    inner = make_bundle(paths, {"SSL_CERT_FILE": str(outer), "CURL_CA_BUNDLE": str(outer)})

    assert inner == outer


def test_during_a_rotation_both_authorities_are_trusted(paths: Paths) -> None:
    file = make_bundle(paths, {})
    first = current(paths)

    second = rotate(paths, at_once=False)
    assert refresh_bundles(paths) == 1

    text = file.read_bytes()
    assert first.pem in text
    assert second.pem in text


def test_a_folder_of_roots_and_missing_files_are_dealt_with(paths: Paths, corporate: Path) -> None:
    folder = corporate.parent / "roots"
    folder.mkdir()
    (folder / "a.0").write_text(corporate.read_text())
    (folder / "junk.der").write_bytes(bytes(range(256)))

    environ = {"SSL_CERT_DIR": f"{folder}{os.pathsep}/nowhere", "PIP_CERT": "/nowhere/at/all.pem"}
    text = make_bundle(paths, environ).read_text()

    assert BLOCK.findall(corporate.read_text())[0] in text


def test_providers_are_judged_without_helis_own_authority(paths: Paths, corporate: Path) -> None:
    bundle = make_bundle(paths, {"SSL_CERT_FILE": str(corporate)})

    text = make_upstream_roots(paths, {"SSL_CERT_FILE": str(bundle)}).read_bytes()

    assert current(paths).pem not in text
    assert BLOCK.findall(corporate.read_text())[0].encode() in text


def test_nobody_else_can_read_or_change_it(paths: Paths) -> None:
    before = os.umask(0)
    try:
        file = make_bundle(paths, {})
    finally:
        os.umask(before)

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700

"""What the certificate authority may do, who accepts it, and how it is replaced."""

import datetime
import os
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from heli.proxy.intercept.authority import (
    OVERLAP,
    RENEW_BEFORE,
    allowed_hosts,
    certificate_file,
    certificates,
    change_allowed,
    current,
    previous,
    rotate,
    unreached,
)
from heli.proxy.intercept.leaves import Leaves
from heli.schema.errors import UsageError
from heli.schema.paths import Paths
from heli.schema.run import Run
from tests.proxy.intercept.certificates import make_aged

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.from_environ({"HELI_HOME": str(tmp_path)})


def test_key_and_folder_are_private_under_any_umask(paths: Paths) -> None:
    before = os.umask(0)
    try:
        certificate_file(paths)
        rotate(paths, at_once=False)
    finally:
        os.umask(before)

    assert stat.S_IMODE(paths.authority.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in paths.authority.iterdir()}
    assert modes.pop("ca.pem") == 0o644
    assert modes.pop("previous.pem") == 0o644
    assert set(modes) == {"ca.key", "previous.key", "lock"}
    assert set(modes.values()) == {0o600}


def test_the_authority_can_do_little_for_a_year_at_most(paths: Paths) -> None:
    certificate = current(paths).certificate

    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life <= datetime.timedelta(days=365)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.path_length == 0
    names = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical
    permitted = {name.value for name in names.value.permitted_subtrees or ()}
    assert {"api.openai.com", "api.anthropic.com", "openai.azure.com"} <= permitted
    assert not permitted & {"com", "googleapis.com", "amazonaws.com", "azure.com", "azure-api.net"}
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_openssl_finds_nothing_to_complain_of(paths: Paths, tmp_path: Path) -> None:
    authority = current(paths)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    leaf = authority.sign_leaf("api.openai.com", key, datetime.datetime.now(datetime.UTC))
    file = tmp_path / "leaf.pem"
    file.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))

    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    command += ["-verify_hostname", "api.openai.com", "-CAfile", str(certificate_file(paths)), str(file)]
    verdict = subprocess.run(command, capture_output=True, text=True, check=False)

    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def test_a_leaf_has_what_strict_verifiers_want_and_lives_shortly(paths: Paths) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    leaf = current(paths).sign_leaf("api.openai.com", key, datetime.datetime.now(datetime.UTC))

    extensions = leaf.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["api.openai.com"]
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert (
        x509.ExtendedKeyUsageOID.SERVER_AUTH
        in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    )
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < datetime.timedelta(days=4)


def test_it_is_made_once_and_replaced_before_it_ends(paths: Paths) -> None:
    first = current(paths, NOW)
    assert current(paths, NOW).fingerprint == first.fingerprint

    second = current(paths, first.ends_at - RENEW_BEFORE + datetime.timedelta(hours=1))

    assert second.fingerprint != first.fingerprint


def test_the_one_before_goes_on_for_some_days(paths: Paths) -> None:
    first = current(paths, NOW)
    second = rotate(paths, at_once=False, now=NOW)

    assert certificates(paths, NOW + OVERLAP / 2) == [second.pem, first.pem]
    assert previous(paths, NOW + OVERLAP * 2) is None
    assert not (paths.authority / "previous.key").exists()
    assert certificates(paths, NOW + OVERLAP * 2) == [second.pem]


def test_a_stolen_one_is_gone_at_once(paths: Paths) -> None:
    current(paths, NOW)
    second = rotate(paths, at_once=True, now=NOW)

    assert certificates(paths, NOW) == [second.pem]
    assert not (paths.authority / "previous.key").exists()


def test_an_allowed_host_is_within_the_limits_and_the_key_stays(paths: Paths) -> None:
    before = current(paths)

    after = change_allowed(paths, add=["LLM.Example.com", "*.models.example"])

    assert allowed_hosts(paths) == ["llm.example.com", "*.models.example"]
    assert after.permits("llm.example.com")
    assert after.permits("eu.models.example")
    assert not before.permits("llm.example.com")
    assert after.certificate.public_key() == before.certificate.public_key()
    assert current(paths).fingerprint == after.fingerprint


def test_an_allowed_host_can_be_taken_away(paths: Paths) -> None:
    change_allowed(paths, add=["llm.example.com"])

    after = change_allowed(paths, remove=["llm.example.com"])

    assert allowed_hosts(paths) == []
    assert not after.permits("llm.example.com")


@pytest.mark.parametrize("text", ["", "*", "*.com", "https://example.com", "a b", "10.0.0.1", "-x.example"])
def test_what_is_no_host_is_not_allowed(paths: Paths, text: str) -> None:
    with pytest.raises(UsageError):
        change_allowed(paths, add=[text])


def test_hosts_that_were_not_known_when_it_was_made_are_told(paths: Paths) -> None:
    make_aged(paths, lacking=("api.openai.com", "api.groq.com"))
    aged = current(paths)

    assert unreached(paths, aged) == ["api.groq.com", "api.openai.com"]
    assert unreached(paths, rotate(paths, at_once=False)) == []


def test_a_program_that_knows_only_an_older_authority_is_not_shown_a_newer_one(paths: Paths) -> None:
    """For a host that the older one may not sign for it is left alone, as what it would be shown fails."""
    make_aged(paths, lacking=("api.openai.com",))
    fresh = rotate(paths, at_once=False)
    leaves = Leaves(paths)
    made_ns = int(fresh.made_at.timestamp() * 1e9)
    before, after = (a_run(made_ns + shift_s * 10**9) for shift_s in (-60, 60))

    shown = [leaves.prepare("api.openai.com", run) is not None for run in (before, None, after)]
    assert shown == [False, False, True]
    assert leaves.prepare("api.anthropic.com", before)


def a_run(started_ns: int) -> Run:
    return Run(id="run-12345678", pid=1, started_ns=started_ns, session_id="s", session_name="s")


def test_a_damaged_authority_is_made_anew(paths: Paths) -> None:
    first = current(paths)
    (paths.authority / "ca.key").write_text("rubbish")

    second = current(paths)

    assert second.fingerprint != first.fingerprint
    ssl.create_default_context(cafile=str(certificate_file(paths)))

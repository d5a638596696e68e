"""What the variables were before the kit is found again, and what was changed since is kept."""

import os

import pytest

from heli.cli import serve
from heli.cli.runs.before import BEFORE, changes_back, pack, without_kit

BARE = {"HTTPS_PROXY": "http://corporate:3128", "NO_PROXY": "", "OTHER": "mine"}
KIT = {"HTTPS_PROXY": "http://run-1:x@127.0.0.1:1", "NO_PROXY": "localhost", "SSL_CERT_FILE": "/bundle.pem"}
WITH_KIT = {**BARE, **KIT, BEFORE: pack(KIT, BARE)}


def test_all_is_as_it_was() -> None:
    assert without_kit(WITH_KIT) == BARE
    assert changes_back(WITH_KIT) == {
        BEFORE: None,
        "HTTPS_PROXY": "http://corporate:3128",
        "NO_PROXY": "",
        "SSL_CERT_FILE": None,
    }


def test_what_somebody_changed_since_is_theirs() -> None:
    changed = {**WITH_KIT, "SSL_CERT_FILE": "/mine.pem"}
    del changed["HTTPS_PROXY"]

    assert without_kit(changed) == {"NO_PROXY": "", "OTHER": "mine", "SSL_CERT_FILE": "/mine.pem"}


def test_without_a_kit_nothing_changes() -> None:
    assert changes_back(BARE) == {}
    assert without_kit(BARE) == BARE


@pytest.mark.parametrize("packed", ["", "nonsense!", "MQ==", "eyJBIjoxfQ==", "eyJBIjpbMSwyLDNdfQ=="])
def test_what_cannot_be_read_changes_nothing_else(packed: str) -> None:
    assert without_kit({"A": "1", BEFORE: packed}) == {"A": "1"}


def test_a_service_goes_out_as_before_heli(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WITH_KIT.items():
        monkeypatch.setenv(name, value)

    serve.take_off_kit()

    assert {name: os.environ[name] for name in WITH_KIT if name in os.environ} == BARE

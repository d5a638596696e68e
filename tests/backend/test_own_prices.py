"""The operator's price file: missing by default is fine, missing by name is not."""

from pathlib import Path

import pytest

from heli.backend.own_prices import check_own_prices, own_prices_file
from heli.schema.errors import UsageError
from heli.schema.settings import load_settings


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    loaded = load_settings({"HELI_HOME": str(tmp_path)}, folder=tmp_path)

    check_own_prices(loaded)

    assert own_prices_file(loaded) == tmp_path / "prices.toml"


def test_a_file_that_a_setting_names_must_be_there(tmp_path: Path) -> None:
    environ = {"HELI_HOME": str(tmp_path), "HELI_PRICES__OVERRIDE_FILE": "mine.toml"}
    loaded = load_settings(environ, folder=tmp_path)

    with pytest.raises(UsageError, match=r"mine\.toml, which prices\.override_file names"):
        check_own_prices(loaded)

    (tmp_path / "mine.toml").write_text('[[price]]\nprovider = "X"\nmodel = "m"\ninput = 1\noutput = 2\n')
    check_own_prices(loaded)

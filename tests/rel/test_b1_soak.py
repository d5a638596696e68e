"""B1: the soak. In every check only a taste of it, to show that the load runs; `make soak` runs it whole."""

import os

import pytest

from tests.rel.sizes import IS_FULL
from tests.rel.soak import Load, soak

MINUTES = float(os.environ.get("REL_SOAK_MINUTES", "60")) if IS_FULL else 0.1


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60 + 300)
def test_the_soak_loses_nothing_and_lets_nothing_grow() -> None:
    processes, traffic = soak(Load(MINUTES, rate=40, callers=16), ["gateway", "intercept"])
    verdicts = [*processes, *traffic]
    print("", *(text for text, _ in verdicts), sep="\nB1: ")
    judged = verdicts if IS_FULL else traffic
    assert [text for text, is_good in judged if not is_good] == []

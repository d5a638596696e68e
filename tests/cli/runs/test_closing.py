"""The closing line, for each thing that can be known of a run."""

from decimal import Decimal

import pytest

from heli.cli.runs.closing import Sum, line_of
from heli.schema.run import Run


def a_run(session: str = "claude-7f3a91") -> Run:
    return Run(id="run-abc123", pid=1, started_ns=0, session_id=session)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (Sum(), "heli: no call to a model was seen"),
        (
            Sum(is_complete=False),
            "heli: no call to a model was seen so far; some may not be stored yet",
        ),
        (
            Sum(calls=1, cost_usd=Decimal("0.0303"), input_tokens=1298, output_tokens=811),
            "heli: 1 call · 1,298 in · 811 out · $.0303 · heli logs session:claude-7f3a91",
        ),
        (
            Sum(calls=2, cost_usd=Decimal(1), input_tokens=100, cached_tokens=97, output_tokens=1, unknown=1),
            (
                "heli: 2 calls · 100 in (97 % cached) · 1 out · $1.00 + 1 of unknown cost"
                " · heli logs session:claude-7f3a91"
            ),
        ),
        (
            Sum(calls=1, cost_usd=Decimal("0.03"), estimated=1, input_tokens=1, output_tokens=2),
            "heli: 1 call · 1 in · 2 out · ~$.03 · heli logs session:claude-7f3a91",
        ),
        (
            Sum(calls=1, unknown=1, is_complete=False),
            "heli: 1 call · ? in · ? out · ? · some are not stored yet · heli logs session:claude-7f3a91",
        ),
        (
            Sum(trouble="connection refused"),
            (
                "heli: what this run came to is not known yet (connection refused); "
                "`heli costs session:claude-7f3a91` tells"
            ),
        ),
    ],
)
def test_the_line_tells_what_is_known(told: Sum, line: str) -> None:
    assert line_of(told, a_run()) == line


def test_the_command_in_it_can_be_pasted() -> None:
    told = Sum(calls=1, cost_usd=Decimal(0), input_tokens=1, output_tokens=1)
    assert line_of(told, a_run("it's mine")).endswith("""heli logs 'session:"it'"'"'s mine"'""")

"""The closing line, for each thing that can be known of a run."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from heli.cli.runs.closing import Sum, ask_sum, line_of
from heli.schema.run import Run
from heli.schema.settings import load_settings
from tests.cli.fake_backend import FakeBackend, encode


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
                "`heli costs 'prop.run:run-abc123*'` tells"
            ),
        ),
    ],
)
def test_the_line_tells_what_is_known(told: Sum, line: str) -> None:
    assert line_of(told, a_run()) == line


def test_the_command_in_it_can_be_pasted() -> None:
    told = Sum(calls=1, cost_usd=Decimal(0), input_tokens=1, output_tokens=1)
    assert line_of(told, a_run("it's mine")).endswith("""heli logs 'session:"it'"'"'s mine"'""")


FIGURES = (
    "cost_usd",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


class Log(FakeBackend):
    """How many calls it has of each session of the run, and in the run's session in all."""

    calls: dict[str, int]
    whole: int

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        if path == "/v1/statusline":
            return 200, encode({"sessions": []})
        calls = self.calls if query["filter"] == "prop.run:run-abc123*" else {"outer": self.whole}
        total = dict.fromkeys(FIGURES) | {
            "requests": sum(calls.values()),
            "unknown_cost_requests": 0,
            "estimated_cost_requests": 0,
        }
        rows: list[dict[str, Any]] = [{"session": name, "requests": count} for name, count in calls.items()]
        return 200, encode({"rows": rows, "total": total})


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    log = Log()
    monkeypatch.setenv("HELI_BACKEND__URL", log.url)
    yield log
    log.close()


@pytest.mark.parametrize(
    ("calls", "whole", "hint"),
    [
        ({"outer": 2}, 2, "heli logs session:outer"),
        ({"outer": 1, "inner": 1}, 1, "heli logs 'prop.run:run-abc123*'"),
        ({"outer": 2}, 5, "heli logs 'prop.run:run-abc123*'"),
    ],
    ids=["its own session", "another session within", "a session that goes on"],
)
def test_the_hint_lists_the_calls_that_are_counted(
    log: Log, calls: dict[str, int], whole: int, hint: str
) -> None:
    log.calls, log.whole = calls, whole

    told = ask_sum(load_settings(), a_run("outer"))

    assert line_of(told, a_run("outer")) == f"heli: 2 calls · ? in · ? out · ? · {hint}"

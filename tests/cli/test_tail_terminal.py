"""`heli logs --tail` on a real terminal: calls run at the bottom, settle above, and nothing is left over."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from heli.schema.live import LiveEvent, LiveKind, LiveTotals
from tests.cli.fake_backend import a_call, a_request, finished, started, streaming
from tests.cli.real_terminal import PATIENCE_S, Terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


@pytest.fixture
def terminal(tmp_path, backend, home) -> Iterator[Callable[..., Terminal]]:
    opened = []

    def terminal(columns: int = 130, lines: int = 16) -> Terminal:
        environment = {"HELI_HOME": str(home), "HELI_BACKEND__URL": backend.url, "TZ": "UTC", "PS1": "$ "}
        opened.append(Terminal(tmp_path, environment, columns, lines))
        return opened[-1]

    yield terminal
    for one in opened:
        one.close()


def tail(terminal: Terminal, backend) -> None:
    terminal.type(f"{sys.executable} -m heli logs --tail")
    assert backend.listened.wait(PATIENCE_S)
    terminal.until(lambda screen: "in flight" in screen)


def rows(screen: str, number: int) -> list[str]:
    """The lines of the call of this number."""
    return [line for line in screen.splitlines() if f" {number:04x}7f " in line]


def test_a_call_runs_at_the_bottom_and_settles_into_place(terminal, backend):
    backend.requests = [a_request(1)]
    totals = {"today_cost_usd": Decimal("4.21"), "spool_records": 3, "dropped_records": 0}
    backend.greeting = [LiveTotals(in_flight=0, **totals)]
    screen = terminal(columns=160)
    tail(screen, backend)

    call = a_call(2)
    backend.tell(started(call))
    running = screen.until(lambda shown: rows(shown, 2))
    assert "…" in rows(running, 2)[0]
    assert "1 call in flight · today $4.21 · spool 3 · dropped 0" in running

    told = {"status": 200, "output_tokens_estimate": 240, "time_to_first_token_ms": 900.0}
    preview = "I'll check the tests first, then"
    backend.tell(streaming(a_call(2, created_at=call.created_at, preview=preview, **told)))
    grown = screen.until(lambda shown: "~240" in shown)
    assert "▍I'll check the tests first" in rows(grown, 2)[0]
    assert "0.9s" in rows(grown, 2)[0]

    clock = re.search(r"0\.9s +(\S+)s", rows(grown, 2)[0])[1]
    screen.until(lambda shown: float(re.search(r"0\.9s +(\S+)s", rows(shown, 2)[0])[1]) > float(clock))

    backend.tell(started(a_call(3)))
    screen.until(lambda shown: rows(shown, 3))
    backend.tell(LiveTotals(in_flight=0, **(totals | {"spool_records": 9, "spool_lag_s": 12.0})))
    screen.until(lambda shown: "spool 9 · oldest 12.0s · dropped 0" in shown)
    backend.tell(finished(a_request(2, model="claude-sonnet-4-5")))
    settled = screen.until(lambda shown: rows(shown, 2) and "~240" not in shown)

    assert "$.000127" in rows(settled, 2)[0]
    places = [settled.splitlines().index(rows(settled, number)[0]) for number in (1, 2, 3)]
    assert places == sorted(places)
    assert settled.splitlines()[places[-1] + 1].startswith("── 1 call in flight")


def test_interrupting_leaves_what_has_settled_and_nothing_else(terminal, backend):
    backend.requests = [a_request(1)]
    screen = terminal()
    tail(screen, backend)
    backend.tell(started(a_call(2)))
    screen.until(lambda shown: rows(shown, 2))

    screen.press("C-c")
    screen.type("echo code $?")

    left = screen.until(lambda shown: "code 130" in shown)
    assert rows(left, 1)
    assert not rows(left, 2)
    assert "──" not in left
    assert "Traceback" not in left


def test_a_narrow_terminal_keeps_what_matters_most(terminal, backend):
    backend.requests = [a_request(1)]
    screen = terminal(columns=80)
    tail(screen, backend)

    shown = screen.screen()

    head = next(line for line in shown.splitlines() if line.startswith("time"))
    assert {"time", "id", "st", "model", "cost", "took", "what"} <= set(head.split())
    assert not {"ttft", "cached", "session"} & set(head.split())
    assert rows(shown, 1)
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_resizing_leaves_no_rubbish(terminal, backend):
    backend.requests = [a_request(1)]
    screen = terminal(columns=130)
    tail(screen, backend)
    backend.tell(started(a_call(2, preview="words " * 40)))
    backend.tell(started(a_call(3, preview="words " * 40)))
    screen.until(lambda shown: rows(shown, 3))

    for columns in (90, 60, 120):
        screen.resize(columns, 16)
        backend.tell(streaming(a_call(3, output_tokens_estimate=columns, preview=f"at {columns}")))
        screen.until(lambda shown, columns=columns: f"at {columns}" in shown)

    shown = screen.until(lambda shown: len(rows(shown, 2)) == 1)
    assert len(rows(shown, 3)) == 1
    assert shown.count("in flight") == 1


def test_a_resize_under_a_full_screen_leaves_no_rubbish_and_tells_the_columns_anew(terminal, backend):
    backend.requests = [a_request(number) for number in range(1, 15)]
    screen = terminal(columns=130)
    tail(screen, backend)
    for number in (20, 21, 22):
        backend.tell(started(a_call(number, preview="words " * 40)))
    screen.until(lambda shown: rows(shown, 22))

    screen.resize(80, 16)
    backend.tell(finished(a_request(20)))
    shown = screen.until(lambda shown: shown.count("time") == 2 and len(rows(shown, 20)) == 1)

    assert [len(rows(shown, number)) for number in (14, 20, 21, 22)] == [1, 1, 1, 1]
    assert shown.count("in flight") == 1
    heads = [line.split() for line in shown.splitlines() if line.startswith("time")]
    assert "cached" in heads[0]
    assert "cached" not in heads[1]


def test_estimates_in_todays_sum_are_marked(terminal, backend):
    backend.greeting = [
        LiveTotals(in_flight=0, today_cost_usd=Decimal("4.21"), today_estimated_cost_requests=1)
    ]
    screen = terminal()
    tail(screen, backend)

    screen.until(lambda shown: "in flight · today ~$4.21" in shown)


def test_a_break_is_said_in_the_status_line_and_mended(terminal, backend):
    screen = terminal()
    tail(screen, backend)
    backend.tell(started(a_call(2)))
    screen.until(lambda shown: rows(shown, 2))

    backend.greeting = [started(a_call(2)), LiveTotals(in_flight=1, today_cost_usd=Decimal(1))]
    backend.hang_up()

    screen.until(lambda shown: "trying again" in shown)
    mended = screen.until(lambda shown: "connected again" in shown and "in flight · today $1.00" in shown)
    assert len(rows(mended, 2)) == 1


def test_a_call_that_is_not_asked_for_after_all_is_gone(terminal, backend):
    screen = terminal()
    tail(screen, backend)
    for number in (2, 3):
        backend.tell(started(a_call(number)))
    screen.until(lambda shown: rows(shown, 2) and rows(shown, 3))

    backend.tell(LiveEvent(kind=LiveKind.LEFT, call=a_call(2)))

    left = screen.until(lambda shown: not rows(shown, 2))
    assert rows(left, 3)
    assert "1 call in flight" in left


def test_more_calls_than_lines_are_counted(terminal, backend):
    screen = terminal(lines=10)
    tail(screen, backend)

    for number in range(2, 20):
        backend.tell(started(a_call(number)))

    shown = screen.until(lambda shown: "18 calls in flight" in shown)
    assert "… and 12 more" in shown
    assert rows(shown, 19)

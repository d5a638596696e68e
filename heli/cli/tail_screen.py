"""Where followed calls are shown: drawn over on a terminal, one plain line each in a pipe."""

import datetime
import sys
from collections.abc import Callable, Iterable, Sequence

from heli.cli import figures
from heli.cli.printable import clip, line
from heli.cli.request_rows import COLUMNS, SHAPE, Row
from heli.cli.sink import Format, Sink
from heli.cli.spool_depth import SpoolDepth
from heli.cli.table import Table
from heli.cli.tail import TailScreen
from heli.cli.terminal import can_redraw, paint, real_size, say, wants_color, width
from heli.schema.live import LiveCall, LiveTotals
from heli.schema.request import Request
from heli.schema.settings import Loaded

SLOW_S = 5.0
"""What waits no longer is on its way."""
BEGIN_FRAME, END_FRAME = "\x1b[?2026h", "\x1b[?2026l"
"""Synchronised output: a terminal that knows it shows the frame at once, others ignore it."""
ERASE_BELOW = "\r \x1b[J\r"
"""The blank, for tmux keeps a screen that is erased from its first cell on."""
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"


def open_screen(format: Format, fields: Sequence[str], loaded: Loaded) -> TailScreen:
    if format is Format.TABLE:
        return DrawnScreen(SpoolDepth(loaded)) if can_redraw(sys.stdout) else TableLines()
    return PlainLines(Sink(SHAPE, format, fields))


class PlainLines:
    """Each call that ended is a line, flushed at once; nothing is said of calls in flight."""

    def __init__(self, sink: Sink[Row]) -> None:
        self._sink = sink

    def settle(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._sink.write(Row(request=request))
        self._sink.flush()

    def draw(self, running: list[LiveCall], totals: LiveTotals | None, trouble: str) -> None:
        pass

    def note(self, text: str) -> None:
        say(f"heli: {text}")

    def close(self) -> None:
        pass


class TableLines(PlainLines):
    """The table without running lines: for `-o table` in a pipe and for terminals that cannot draw."""

    def __init__(self) -> None:
        self._table = Table(COLUMNS, wants_color(sys.stdout))
        self._has_head = False

    def settle(self, requests: Iterable[Request]) -> None:
        columns = width() if sys.stdout.isatty() else 10_000
        rows = [Row(request=request) for request in requests]
        self._table.learn(rows)
        if not self._has_head:
            self._has_head = True
            sys.stdout.write(self._table.head(columns) + "\n")
        sys.stdout.writelines(self._table.line(row, columns) + "\n" for row in rows)
        sys.stdout.flush()


class DrawnScreen:
    """Settled lines scroll away above; calls in flight and the status line are drawn over below them.

    Between two frames the cursor rests where the lower part begins. A terminal that gets another width keeps
    it there however it wraps the lines, and does so before we hear of the width: nothing is counted here.
    """

    def __init__(
        self,
        spool_depth: "SpoolDepth",
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._spool_depth = spool_depth
        self._now = now
        self._is_colored = wants_color(sys.stdout)
        self._table = Table(COLUMNS, self._is_colored)
        self._settled: list[str] = []
        self._lower: list[str] = []
        self._size = (0, 0)
        self._titles: list[str] = []

    def settle(self, requests: Iterable[Request]) -> None:
        rows = [Row(request=request) for request in requests]
        self._table.learn(rows)
        self._show_head()
        self._settled += [self._table.line(row, self._width()) for row in rows]

    def _show_head(self) -> None:
        """At the start, and before a line that has other columns, for the terminal got another width."""
        titles = self._table.titles(self._width())
        if titles != self._titles:
            self._titles = titles
            self._settled.append(self._table.head(self._width()))

    def draw(self, running: list[LiveCall], totals: LiveTotals | None, trouble: str) -> None:
        if not self._titles:
            self._show_head()
        lower = self._running_lines(running)
        lower.append(self._status_line(len(running), totals, trouble))
        size = real_size(sys.stdout)
        if lower != self._lower or self._settled or size != self._size:
            self._size = size
            self._show(lower)

    def note(self, text: str) -> None:
        self._settled.append(clip(line(f"── {text}"), self._width()))

    def close(self) -> None:
        """Leave what has settled, and nothing else."""
        self._show([])

    def _show(self, lower: list[str]) -> None:
        """Each line of the lower part takes one row, also where the terminal is narrower than we know."""
        settled = "".join(text + "\n" for text in self._settled)
        back = f"\r\x1b[{len(lower) - 1}A" if len(lower) > 1 else "\r"
        drawn = f"{NO_WRAP}{'\n'.join(lower)}{back}{WRAP}" if lower else ""
        sys.stdout.write(f"{BEGIN_FRAME}{ERASE_BELOW}{settled}{drawn}{END_FRAME}")
        sys.stdout.flush()
        self._settled, self._lower = [], lower

    def _running_lines(self, running: list[LiveCall]) -> list[str]:
        most = max(1, real_size(sys.stdout)[1] - 4)
        hidden = running[:-most]
        now = self._now()
        lines = [self._table.line(Row(call=call, now=now), self._width()) for call in running[-most:]]
        return [f"   … and {len(hidden)} more", *lines] if hidden else lines

    def _status_line(self, running: int, totals: LiveTotals | None, trouble: str) -> str:
        if trouble:
            return paint(clip(line(f"── {trouble}; trying again"), self._width()), "warn", self._is_colored)
        in_flight = totals.in_flight if totals and totals.in_flight > running else running
        parts = [f"{figures.counted(in_flight, 'call')} in flight"]
        if totals:
            is_estimate = totals.today_estimated_cost_requests > 0
            parts.append(f"today {figures.about(totals.today_cost_usd, is_estimate)}")
            waiting, dropped = self._depth(totals)
            parts.append(f"spool {figures.count(waiting)}")
            if totals.spool_lag_s is not None and totals.spool_lag_s >= SLOW_S:
                parts.append(f"oldest {figures.duration(totals.spool_lag_s * 1000)}")
            parts.append(f"dropped {figures.count(dropped)}")
        return paint(clip("── " + " · ".join(parts), self._width()), "dim", self._is_colored)

    def _depth(self, totals: LiveTotals) -> tuple[int | None, int | None]:
        if totals.spool_records is not None:
            return totals.spool_records, totals.dropped_records
        return self._spool_depth.now()

    @staticmethod
    def _width() -> int:
        """One less than there is, so that no line ends in the margin where terminals differ."""
        return max(20, real_size(sys.stdout)[0] - 1)

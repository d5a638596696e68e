"""The last line of a run: calls, tokens, cost. The backend is asked, and waited for a moment."""

import json
import re
import shlex
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from heli.cli import figures, quick_backend
from heli.cli.runs.last_words import heed_signals
from heli.cli.runs.making import RUN
from heli.schema.run import Run
from heli.schema.settings import Loaded

PATIENCE_S = 1.0
SETTLES_S = 0.1
"""So long after the program's end a call that it left may not be on the disk yet."""
POLL_S = 0.05
ANSWER_S = 0.5


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to."""

    calls: int = 0
    cost_usd: Decimal | None = None
    estimated: int = 0
    """How many costs in that sum are estimates."""
    unknown: int = 0
    """Calls of unknown cost."""
    input_tokens: int | None = None
    """Uncached, cached and written to the cache together."""
    cached_tokens: int | None = None
    output_tokens: int | None = None
    is_complete: bool = True
    """False while some calls are still on their way to the log."""
    is_session: bool = True
    """Whether the run's session holds these calls and no others."""
    trouble: str = ""
    """Why nothing is known."""


def settle(
    loaded: Loaded, run: Run, is_stored: Callable[[float], bool | None], patience_s: float = PATIENCE_S
) -> Sum:
    """The sum as soon as everything is stored, or what is known when patience ends.

    `is_stored(age_s)` says whether all that ended longer ago than this is in the log; `None` for unknown.
    Raises `CalledOffError`.
    """
    ended = time.monotonic()
    told = Sum(trouble="not asked")
    while True:
        heed_signals()
        waited = time.monotonic() - ended
        is_last = waited + POLL_S >= patience_s
        stored = waited >= SETTLES_S and is_stored(max(0.0, waited - SETTLES_S)) is not False
        if stored or is_last:
            told = ask_sum(loaded, run)
            if is_last or (told.is_complete and not told.trouble):
                return told if stored else msgspec.structs.replace(told, is_complete=False)
        time.sleep(POLL_S)


def ask_sum(loaded: Loaded, run: Run) -> Sum:
    """What the log knows of the run now."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.started_ns // 10**9 - 1))
    try:
        address = quick_backend.parse_url(loaded.settings.backend_url)
        asked = [("filter", _run_filter(run)), ("since", since), ("by", "session")]
        costs = quick_backend.ask(address, "/v1/costs", ANSWER_S, asked)
        line = quick_backend.ask(address, "/v1/statusline", ANSWER_S, [("session", run.session_id)])
    except quick_backend.NoAnswerError as error:
        return Sum(trouble=str(error))
    told = _read(costs["total"], line)
    return msgspec.structs.replace(told, is_session=_is_session(address, run, costs))


def _is_session(address: quick_backend.Address, run: Run, costs: Mapping[str, Any]) -> bool:
    """False also while the log does not say what else the session holds."""
    if any(row["session"] != run.session_id for row in costs["rows"]):
        return False
    try:
        whole = quick_backend.ask(address, "/v1/costs", ANSWER_S, [("filter", _session_filter(run))])
    except quick_backend.NoAnswerError:
        return False
    return bool(whole["total"]["requests"] == costs["total"]["requests"])


def _read(total: Mapping[str, Any], line: Mapping[str, Any]) -> Sum:
    sessions = line.get("sessions") or [{}]
    return Sum(
        calls=total["requests"],
        cost_usd=None if total["cost_usd"] is None else Decimal(total["cost_usd"]),
        estimated=total["estimated_cost_requests"],
        unknown=total["unknown_cost_requests"],
        input_tokens=_add(total, "input_tokens", "cache_read_tokens", "cache_write_tokens"),
        cached_tokens=total["cache_read_tokens"],
        output_tokens=_add(total, "output_tokens", "reasoning_tokens"),
        is_complete=not sessions[0].get("in_flight"),
    )


def _add(total: Mapping[str, Any], *names: str) -> int | None:
    known = [total[name] for name in names if total[name] is not None]
    return sum(known) if known else None


def line_of(told: Sum, run: Run) -> str:
    """`heli: 3 calls · 48,210 in (97 % cached) · 811 out · $.0303 · heli logs session:claude-7f3a91`."""
    if told.trouble:
        later = f"`heli costs {shlex.quote(_run_filter(run))}` tells"
        return f"heli: what this run came to is not known yet ({told.trouble}); {later}"
    if not told.calls:
        later = "" if told.is_complete else " so far; some may not be stored yet"
        return f"heli: no call to a model was seen{later}"
    parts = [figures.counted(told.calls, "call")]
    parts.append(f"{figures.count(told.input_tokens)} in{_cached(told)}")
    parts.append(f"{figures.count(told.output_tokens)} out")
    parts.append(_cost(told))
    if not told.is_complete:
        parts.append("some are not stored yet")
    listing = _session_filter(run) if told.is_session else _run_filter(run)
    return f"heli: {' · '.join(parts)} · heli logs {shlex.quote(listing)}"


def _cached(told: Sum) -> str:
    if not told.cached_tokens or not told.input_tokens:
        return ""
    return f" ({100 * told.cached_tokens // told.input_tokens} % cached)"


def _cost(told: Sum) -> str:
    if told.cost_usd is None:
        return figures.UNKNOWN
    more = f" + {told.unknown:,} of unknown cost" if told.unknown else ""
    return figures.about(told.cost_usd, told.estimated > 0) + more


def _session_filter(run: Run) -> str:
    return f"session:{_quoted(run.session_id)}"


def _run_filter(run: Run) -> str:
    """The calls of the run and of those inside it, whatever their sessions."""
    return f"prop.{RUN}:{_quoted(run.properties.get(RUN, run.id))}*"


def _quoted(text: str) -> str:
    """A value of a filter, between quotes where it must be."""
    return text if re.fullmatch(r"[\w.@/-]+", text) else json.dumps(text, ensure_ascii=False)
